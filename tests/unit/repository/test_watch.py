"""A watch tells what has changed once it is still, until it has been acted on."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.repository.aged import date, write
from tis.repository.snapshot import Difference
from tis.repository.watch import Changes, Watch

QUIET_S = 5.0
FILES = {"config.pbtxt": "c", "1/model.onnx": "one"}


class Bench:
    """Two repositories, a watch, and a clock that stands at 1000 s."""

    def __init__(self, folder: Path) -> None:
        self.first, self.second = folder / "first", folder / "second"
        for repository in (self.first, self.second):
            repository.mkdir()
        self.watch = Watch([self.first, self.second, self.first], QUIET_S)
        self.now_s = 1000.0

    def look(self, after_s: float = 0.0) -> Changes:
        self.now_s += after_s
        return self.watch.look(self.now_s)

    def act(self, after_s: float = 0.0) -> Changes:
        """Look, and act on what there is."""
        changes = self.look(after_s)
        for name, found in {**changes.added, **changes.changed}.items():
            self.watch.acted(name, found.snapshot)
        for name in (*changes.removed, *changes.duplicates):
            self.watch.acted(name, None)
        return changes

    def serve(self, name: str) -> Path:
        """A model that has been acted on."""
        root = write(self.first / name, FILES)
        assert name in self.act().added
        assert self.look() == Changes()
        return root


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_directory_of_old_files_is_added_at_once_and_told_until_it_is_acted_on(bench: Bench) -> None:
    write(bench.first / "b", FILES)
    write(bench.second / "a", FILES)
    changes = bench.look()
    assert list(changes.added) == ["a", "b"]
    assert changes.unsettled == ()
    assert changes.added["b"].directory.versions == (1,)
    assert changes.added["b"].difference == Difference(config=True, versions=frozenset({1}), rest=True)
    assert list(bench.act(1).added) == ["a", "b"]
    assert bench.look(1) == Changes()


def test_a_copy_in_progress_is_waited_for(bench: Bench) -> None:
    root = write(bench.first / "m", {"config.pbtxt": "c"}, at_s=bench.now_s - 1)
    assert bench.look() == Changes(unsettled=("m",))
    write(root, {"1/model.onnx": "o"}, at_s=bench.now_s + 3)
    assert bench.look(4) == Changes(unsettled=("m",))
    write(root, {"1/model.onnx": "on"}, at_s=bench.now_s + 1)
    assert bench.look(4) == Changes(unsettled=("m",))
    assert list(bench.look(2).added) == ["m"]


def test_files_from_the_future_need_two_looks(bench: Bench) -> None:
    write(bench.first / "m", FILES, at_s=5000)
    assert bench.look() == Changes(unsettled=("m",))
    assert bench.look(4.9) == Changes(unsettled=("m",))
    assert list(bench.look(0.1).added) == ["m"]


def test_a_copy_that_keeps_dates_is_seen_by_its_directories(bench: Bench) -> None:
    root = write(bench.first / "m", FILES)
    os.utime(root, (bench.now_s, bench.now_s))
    assert bench.look() == Changes(unsettled=("m",))
    (root / "labels.txt").write_text("cat")
    os.utime(root / "labels.txt", (100, 100))
    assert bench.look(5) == Changes(unsettled=("m",))
    assert list(bench.look(5).added) == ["m"]


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("config.pbtxt", Difference(config=True)),
        ("1/model.onnx", Difference(versions=frozenset({1}))),
        ("2/model.onnx", Difference(versions=frozenset({2}))),
        ("labels.txt", Difference(rest=True)),
    ],
)
def test_a_change_is_told_once_it_is_still_with_what_has_changed(
    bench: Bench, name: str, difference: Difference
) -> None:
    root = bench.serve("m")
    write(root, {name: "other"}, at_s=bench.now_s)
    for path in FILES:
        if path != name:
            date(root / path, 100)
    assert bench.look() == Changes(unsettled=("m",))
    [found] = bench.act(5).changed.values()
    assert found.difference == difference
    assert bench.look(100) == Changes()


def test_a_change_that_is_taken_back_is_none(bench: Bench) -> None:
    root = bench.serve("m")
    write(root, {"labels.txt": "x"}, at_s=bench.now_s)
    assert bench.look().unsettled == ("m",)
    (root / "labels.txt").unlink()
    date(root, 100)
    assert bench.look(10) == Changes()


def test_a_load_that_was_asked_for_meanwhile_counts_as_acted_on(bench: Bench) -> None:
    root = bench.serve("m")
    write(root, {"labels.txt": "x"}, at_s=100)
    [found] = bench.look().changed.values()
    write(root, {"labels.txt": "xy"}, at_s=100)
    bench.watch.acted("m", found.snapshot)
    assert bench.act().changed["m"].difference == Difference(rest=True)
    assert bench.look() == Changes()


def test_what_interpreters_leave_changes_nothing(bench: Bench) -> None:
    root = bench.serve("m")
    write(root, {"1/__pycache__/model.pyc": "x", ".config.pbtxt.swp": "y"}, at_s=bench.now_s)
    date(root / "config.pbtxt", 100)
    date(root / "1/model.onnx", 100)
    assert bench.look() == Changes()


def test_a_model_is_removed_when_two_looks_in_a_row_miss_it(bench: Bench) -> None:
    root = bench.serve("m")
    away = root.rename(bench.first.parent / "away")
    assert bench.look() == Changes(unsettled=("m",))
    away.rename(root)
    assert bench.look() == Changes()
    shutil.rmtree(root)
    assert bench.look() == Changes(unsettled=("m",))
    assert bench.look() == Changes(removed=("m",))
    assert bench.act() == Changes(removed=("m",)), "until it is acted on"
    assert bench.look() == Changes()
    write(root, FILES)
    assert list(bench.look().added) == ["m"]


def test_a_model_that_was_never_acted_on_is_not_removed(bench: Bench) -> None:
    root = write(bench.first / "m", FILES, at_s=5000)
    assert bench.look().unsettled == ("m",)
    shutil.rmtree(root)
    assert bench.look() == Changes()
    assert bench.look() == Changes()


def test_a_model_that_has_moved_to_another_repository_has_changed(bench: Bench) -> None:
    bench.serve("m").rename(bench.second / "m")
    assert bench.look().changed["m"].difference == Difference(rest=True)


def test_duplicates_are_told_and_are_nothing_else_until_one_of_them_has_gone(bench: Bench) -> None:
    root = bench.serve("m")
    bench.serve("other")
    second = write(bench.second / "m", FILES)
    assert bench.act() == Changes(duplicates={"m": (root, second)})
    assert bench.look() == Changes(duplicates={"m": (root, second)})
    shutil.rmtree(second)
    assert list(bench.act().added) == ["m"]


def test_what_cannot_be_looked_at_is_told_and_holds_up_nothing_else(bench: Bench) -> None:
    bench.serve("m")
    write(bench.second / "twice", FILES)
    write(bench.first / "twice", FILES)
    duplicates = bench.act().duplicates
    away = bench.second.rename(bench.second.parent / "away")
    write(bench.first / "new", FILES)
    shutil.rmtree(bench.first / "m")
    for _ in range(3):
        changes = bench.look()
        assert list(changes.added) == ["new"]
        assert changes.removed == changes.unsettled == ()
        assert changes.duplicates == duplicates, "nobody knows better"
        assert list(changes.unreadable) == [str(bench.second)]
    away.rename(bench.second)
    assert bench.look().unsettled == ("m",)
    assert bench.look().removed == ("m",)


def test_a_model_that_cannot_be_listed_is_told_and_not_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    root = bench.serve("m")
    bench.serve("other")
    iterdir = Path.iterdir

    def refusing(path: Path) -> object:
        if path == root:
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    for _ in range(3):
        assert bench.look() == Changes(unreadable={"m": f"failed to open directory {root}: Permission denied"})
    monkeypatch.undo()
    assert bench.look() == Changes()


def test_a_clock_that_is_set_back_delays_and_no_more(bench: Bench) -> None:
    write(bench.first / "m", FILES, at_s=5000)
    assert bench.look().unsettled == ("m",)
    assert bench.look(-900).unsettled == ("m",)
    assert list(bench.look(QUIET_S).added) == ["m"]


def test_a_watch_without_patience_tells_at_once(tmp_path: Path) -> None:
    write(tmp_path / "m", FILES, at_s=5000)
    assert list(Watch([tmp_path], 0.0).look(1000.0).added) == ["m"]


class WatchMachine(RuleBasedStateMachine):
    """Whatever is done to the repositories: once they are left alone, looking and acting comes to rest on the truth."""

    names = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.bench = Bench(self.folder)
        self.served: dict[str, str] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(name=names, second=st.booleans(), content=st.text("xy", max_size=3), age_s=st.sampled_from([0.0, 3.0, 100.0]))
    def write(self, name: str, second: bool, content: str, age_s: float) -> None:
        repository = self.bench.second if second else self.bench.first
        write(repository / name, {"1/model.py": content}, at_s=self.bench.now_s - age_s)

    @rule(name=names, second=st.booleans())
    def remove(self, name: str, second: bool) -> None:
        shutil.rmtree((self.bench.second if second else self.bench.first) / name, ignore_errors=True)

    @rule(after_s=st.sampled_from([0.0, 2.0, 6.0]))
    def look(self, after_s: float) -> None:
        changes = self.bench.act(after_s)
        for name, found in {**changes.added, **changes.changed}.items():
            self.served[name] = (found.directory.path / "1/model.py").read_text()
        for name in (*changes.removed, *changes.duplicates):
            self.served.pop(name, None)

    @invariant()
    def nothing_unknown_is_served(self) -> None:
        assert self.served.keys() <= {"a", "b"}

    @rule()
    def rest(self) -> None:
        for _ in range(3):
            self.look(6.0)
        truth: dict[str, str] = {}
        for name in ("a", "b"):
            roots = [each for each in (self.bench.first / name, self.bench.second / name) if each.exists()]
            if len(roots) == 1:
                truth[name] = (roots[0] / "1/model.py").read_text()
        assert self.served == truth
        assert not self.bench.look().unsettled


TestAnyHistory = WatchMachine.TestCase
TestAnyHistory.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
