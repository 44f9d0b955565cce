"""Environments are made once, whoever asks, and again where one was not finished."""

import io
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tis.environments.activation import activated
from tis.environments.archive import unpacked
from tis.environments.keeping import chosen_folder, kept
from tis.environments.prepare import prepare
from tis.environments.probe import Probed
from tis.environments.requirements import digest
from tis.environments.wish import Wish
from tis.errors import TisError, internal


def quiet(_text: str) -> None:
    """Nobody listens."""


def fill(target: Path) -> None:
    target.mkdir()
    (target / "file").write_text("made")


def test_of_many_that_want_the_same_at_once_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    made: list[Path] = []
    said: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slowly(target: Path) -> None:
        begun.set()
        assert go_on.wait(20)
        made.append(target)
        fill(target)

    def told(text: str) -> None:
        said.append(text)
        go_on.set()

    first = threading.Thread(target=kept, args=(tmp_path, "key", slowly, quiet))
    first.start()
    assert begun.wait(20)
    assert (kept(tmp_path, "key", slowly, told) / "file").read_text() == "made"
    first.join()
    assert made == [tmp_path / "key"]
    assert "which is being made for another model" in said[0]


def test_what_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "half").touch()
    assert [path.name for path in kept(tmp_path, "key", fill, quiet).iterdir()] == ["file"]


def test_nothing_is_left_of_what_failed_and_the_next_one_tries_again(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        fill(target)
        raise internal("no")

    with pytest.raises(TisError, match="no"):
        kept(tmp_path, "key", fail, quiet)
    assert not (tmp_path / "key").exists()
    assert kept(tmp_path, "key", fill, quiet).is_dir()


def test_a_place_that_cannot_be_written_is_named_with_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TisError, match=r"file.*Not a directory; --environment-directory chooses another place"):
        kept(tmp_path / "file" / "below", "key", fill, quiet)


def test_the_place_is_the_operators_or_the_services_or_the_users() -> None:
    variables = {"CACHE_DIRECTORY": "/var/cache/tis:/x", "XDG_CACHE_HOME": "/c", "HOME": "/h"}
    assert chosen_folder("/mine", variables) == Path("/mine")
    assert chosen_folder("", variables) == Path("/var/cache/tis/environments")
    assert chosen_folder("", {"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/tis/environments")
    assert chosen_folder("", {"HOME": "/h"}) == Path("/h/.cache/tis/environments")


# ---- archives ----------------------------------------------------------------------------------------------------------


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
    return path


def test_an_archive_is_unpacked_once_and_again_where_it_has_changed(tmp_path: Path) -> None:
    said: list[str] = []
    path = archive(tmp_path / "env.tar.gz", "bin/activate")
    first = unpacked(path, tmp_path / "cache", said.append, {})
    assert (first / "bin" / "activate").read_text() == "text"
    assert unpacked(path, tmp_path / "cache", said.append, {}) == first
    assert len(said) == 1
    archive(path, "bin/activate", "bin/other")
    assert unpacked(path, tmp_path / "cache", said.append, {}) != first


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "bin/../../outside"])
def test_no_archive_writes_outside_of_its_place(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "env.tar.gz", name)
    with pytest.raises(TisError, match="lies outside of it"):
        unpacked(path, tmp_path / "cache", quiet, {})
    assert not list(tmp_path.rglob("outside"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "damage", [cut, lambda path: path.write_bytes(b"no archive"), lambda path: path.write_bytes(b"")]
)
def test_a_broken_archive_is_told_in_tritons_words(damage: Callable[[Path], object], tmp_path: Path) -> None:
    path = archive(tmp_path / "env.tar.gz", "bin/activate")
    damage(path)
    with pytest.raises(TisError, match=r"^archive_read_open_filename\(\) failed\."):
        unpacked(path, tmp_path / "cache", quiet, {})


# ---- directories -------------------------------------------------------------------------------------------------------


def test_a_directory_that_is_no_environment_is_told_of_in_tritons_words(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(TisError, match=f"^Failed to get the canonical path for {gone}.$"):
        prepare(Wish("m", environment=str(gone)), tmp_path / "cache", quiet)
    with pytest.raises(TisError, match=r"bin/activate does not exist. The Python environment should contain an 'act"):
        prepare(Wish("m", environment=str(tmp_path)), tmp_path / "cache", quiet)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    with pytest.raises(TisError, match="has no bin/python, which runs its models"):
        prepare(Wish("m", environment=str(tmp_path)), tmp_path / "cache", quiet)
    (tmp_path / "bin" / "python").symlink_to("/nowhere/python3")
    with pytest.raises(TisError, match="stands for /nowhere/python3, which is not there"):
        prepare(Wish("m", environment=str(tmp_path)), tmp_path / "cache", quiet)


def test_an_interpreter_for_another_machine_is_told_of_as_such(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_bytes(b"\x7fELF" + bytes(60))
    python.chmod(0o755)
    with pytest.raises(TisError, match="is it made for another kind of machine"):
        prepare(Wish("m", python=str(python)), tmp_path / "cache", quiet)


def test_activation_is_what_the_script_does(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "activate"
    script.write_text(f'export PATH="{tmp_path}/bin:$PATH" OF_PACKAGE=1\nunset GONE\necho noise\n')
    base = {"PATH": "/usr/bin:/bin", "GONE": "1", "PYTHONHOME": "/x", "VIRTUAL_ENV": "/servers"}
    expected = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "OF_PACKAGE": "1", "CONDA_PREFIX": str(tmp_path)}
    assert activated(tmp_path, base) == expected
    script.write_text("echo why >&2\nfalse\n")
    with pytest.raises(TisError, match=r"bin/activate failed \(exit code 1\): why"):
        activated(tmp_path, base)


def test_a_moved_virtual_environment_is_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin" / "activate").write_text('export VIRTUAL_ENV=/before PATH="/before/bin:$PATH"\n')
    variables = activated(tmp_path, {"PATH": "/bin"})
    assert variables == {"PATH": f"{tmp_path}/bin:/before/bin:/bin", "VIRTUAL_ENV": str(tmp_path)}


# ---- requirements ------------------------------------------------------------------------------------------------------


def test_environments_differ_by_requirements_what_they_include_and_interpreter(tmp_path: Path) -> None:
    python = Probed(Path("/usr/bin/python3"), (3, 12, 1), "cpython-312")
    main, included = tmp_path / "requirements.txt", tmp_path / "more.txt"
    main.write_text("-r more.txt\n-c https://example.org/c.txt\nsix\n")
    included.write_text("-r requirements.txt\n")
    first = digest(main, python)
    assert digest(main, python) == first
    included.write_text("numpy\n")
    second = digest(main, python)
    third = digest(main, Probed(python.python, (3, 12, 2), python.abi))
    assert len({first, second, third}) == 3
    included.unlink()
    with pytest.raises(TisError, match=r"cannot read the requirements .*more\.txt"):
        digest(main, python)
