"""A snapshot tells apart what of a model has changed, and does not see what is nobody's business."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.repository.aged import date, model, write
from tis.errors import Code, TisError
from tis.repository.snapshot import SMALL_BYTES, Contents, Difference, Snapshot, snapshot

FILES = {
    "config.pbtxt": "max_batch_size: 4",
    "labels.txt": "cat",
    "1/model.onnx": "one",
    "3/model.py": "three",
    "3/data/weights": "w",
    "warmup/sample": "s",
    "configs/big.pbtxt": "max_batch_size: 8",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "m", FILES)


def changed(root: Path, change: Callable[[], object], config_name: str = "") -> Difference:
    """What a change makes differ, whatever the order of the two looks."""
    before = snapshot(model(root, config_name))
    change()
    after = snapshot(model(root, config_name))
    assert before.difference(after) == after.difference(before)
    return before.difference(after)


def versions(*numbers: int) -> Difference:
    return Difference(versions=frozenset(numbers))


def rewrite(path: Path, content: str) -> None:
    """Another content of the same size, under the same date."""
    state = path.stat()
    assert len(content) == state.st_size
    path.write_text(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_nothing_differs_where_nothing_has_changed(root: Path) -> None:
    difference = changed(root, lambda: None)
    assert difference == Difference()
    assert not difference


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("config.pbtxt", Difference(config=True)),
        ("labels.txt", Difference(rest=True)),
        ("warmup/sample", Difference(rest=True)),
        ("1/model.onnx", versions(1)),
        ("3/data/weights", versions(3)),
    ],
)
def test_a_file_that_was_touched_written_or_removed_tells_its_part(
    root: Path, name: str, difference: Difference
) -> None:
    path = root / name
    content = path.read_text()
    assert changed(root, lambda: os.utime(path, (200, 200))) == difference
    assert changed(root, lambda: os.utime(path, (50, 50))) == difference, "an older date is a change as well"
    assert changed(root, lambda: rewrite(path, "x" * len(content))) == difference
    assert changed(root, lambda: path.write_text("something longer")) == difference
    assert changed(root, path.unlink) == difference
    assert changed(root, lambda: path.write_text(content)) == difference
    assert difference


def test_a_version_that_comes_or_goes_is_told_by_its_number(root: Path) -> None:
    assert changed(root, (root / "4").mkdir) == versions(4)
    assert changed(root, (root / "4").rmdir) == versions(4)
    assert changed(root, lambda: (root / "1").rename(root / "7")) == versions(1, 7)


def test_directories_that_are_no_versions_belong_to_the_rest(root: Path) -> None:
    for name in ("03", "x", "initial_state"):
        assert changed(root, (root / name).mkdir) == Difference(rest=True)


@pytest.mark.parametrize(
    "name",
    [
        *("__pycache__/model.pyc", "3/__pycache__/model.pyc", ".git/index", "3/.hidden", ".config.pbtxt.swp"),
        *("config.pbtxt~", "3/model.py~", "4913", "3/4913", ".#config.pbtxt", "#config.pbtxt#", "3/#model.py#"),
    ],
)
def test_what_interpreters_and_editors_leave_does_not_count(root: Path, name: str) -> None:
    assert not changed(root, lambda: write(root, {name: "x"}))
    assert not changed(root, (root / name).unlink)


def test_a_directory_is_a_version_even_where_editors_use_its_number(root: Path) -> None:
    assert changed(root, lambda: write(root, {"4913/model.onnx": "x"})) == versions(4913)


def test_the_date_of_a_directory_alone_does_not_count(root: Path) -> None:
    for folder in (root, root / "3", root / "warmup"):
        assert not changed(root, partial(os.utime, folder, (300, 300)))


def test_only_the_config_in_use_counts(root: Path) -> None:
    custom = root / "configs/big.pbtxt"
    assert not changed(root, lambda: custom.write_text("other"))
    assert changed(root, lambda: custom.write_text("another"), "big") == Difference(config=True)
    assert not changed(root, lambda: (root / "config.pbtxt").write_text("unused"), "big")
    assert changed(root, custom.unlink, "big") == Difference(config=True)
    assert not changed(root, lambda: (root / "configs/other.pbtxt").write_text("x"), "small")


def test_a_model_that_has_moved_is_another(root: Path, tmp_path: Path) -> None:
    before = snapshot(model(root))
    moved = root.rename(tmp_path / "elsewhere")
    assert before.difference(snapshot(model(moved))) == Difference(rest=True)


def test_links_are_followed_but_in_no_circle(root: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "outside", {"model.onnx": "far"})
    (root / "5").symlink_to(target)
    (root / "3/again").symlink_to(root)
    (root / "3/nowhere").symlink_to(root / "missing")
    assert changed(root, lambda: (target / "model.onnx").write_text("farther")) == versions(5)
    assert changed(root, (root / "3/nowhere").unlink) == versions(3)


def test_a_large_file_is_told_by_its_size_and_date_alone(root: Path) -> None:
    path = root / "1/model.onnx"
    path.write_bytes(b"a" * (SMALL_BYTES + 1))
    assert not changed(root, lambda: rewrite(path, "b" * (SMALL_BYTES + 1)))
    assert changed(root, lambda: os.utime(path, (200, 200))) == versions(1)


def test_a_snapshot_knows_how_young_its_youngest_part_is(root: Path) -> None:
    assert snapshot(model(root)).newest_s == 100
    os.utime(root / "warmup", (300, 300))
    assert snapshot(model(root)).newest_s == 300
    date(root, 50)
    assert snapshot(model(root)).newest_s == 50


def test_files_are_read_again_only_after_they_were_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    open_file = Path.open

    def counted(path: Path, *arguments: Any, **named: Any) -> object:
        read.append(path.name)
        return open_file(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", counted)
    # As if what was just written had been written long ago.
    monkeypatch.setattr("tis.repository.snapshot._SAME_MOMENT_S", -3600.0)
    contents = Contents()
    first = snapshot(model(root), contents)
    assert len(read) == len(FILES) - 1
    contents.forget_unseen()
    read.clear()
    assert snapshot(model(root), contents) == first
    assert read == []
    rewrite(root / "labels.txt", "dog")
    read.clear()
    assert first.difference(snapshot(model(root), contents)) == Difference(rest=True)
    assert read == ["labels.txt"]


def test_a_directory_that_cannot_be_listed_is_told(root: Path) -> None:
    directory = model(root)
    root.rename(root.parent / "gone")
    with pytest.raises(TisError) as caught:
        snapshot(directory)
    assert caught.value.code is Code.INTERNAL


@given(
    st.dictionaries(st.integers(0, 9), st.sampled_from("ab")),
    st.dictionaries(st.integers(0, 9), st.sampled_from("ab")),
)
def test_exactly_the_versions_that_differ_are_told(before: dict[int, str], after: dict[int, str]) -> None:
    one, two = (Snapshot(Path("/m"), "c", given, "r", 0.0) for given in (before, after))
    difference = one.difference(two)
    assert difference.versions == {number for number in range(10) if before.get(number) != after.get(number)}
    assert bool(difference) is (before != after)
    assert all(difference.concerns(number) is (number in difference.versions) for number in range(10))
    assert Difference(rest=True).concerns(5)
    assert not Difference(config=True).concerns(5)


def test_a_version_is_told_by_its_files_and_common_ones_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    def digest(version: int = 1) -> str:
        return snapshot(model(root)).of_version(version)

    first = digest()
    elsewhere = write(tmp_path / "elsewhere" / "m", FILES)
    assert snapshot(model(elsewhere)).of_version(1) == first
    write(root, {"config.pbtxt": "max_batch_size: 7", "3/model.py": "newer"})
    assert digest() == first
    write(root, {"1/model.onnx": "newer"})
    second = digest()
    write(root, {"labels.txt": "dog"})
    assert len({first, second, digest(), digest(3), digest(9)}) == 5
