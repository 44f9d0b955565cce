"""A server's private directory: nobody else's to read, gone at the end, and removed later if its server was killed."""

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tis.errors import TisError
from tis.runtime_dir import RuntimeDir


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")


def test_it_is_private_and_goes_with_everything_in_it(base: Path) -> None:
    runtime = RuntimeDir(str(base))
    assert stat.S_IMODE(runtime.path.stat().st_mode) == 0o700
    assert runtime.path.parent == base
    (runtime.path / "1.mail").touch()
    runtime.remove()
    assert list(base.iterdir()) == []


def test_a_parent_that_is_not_there_is_made(base: Path) -> None:
    runtime = RuntimeDir(str(base / "a" / "b"))
    assert runtime.path.is_dir()
    runtime.remove()


def test_without_a_choice_the_users_runtime_directory_is_taken(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    runtime = RuntimeDir()
    assert runtime.path.parent == base
    runtime.remove()


def test_two_servers_have_two_directories_and_neither_removes_the_others(base: Path) -> None:
    first, second = RuntimeDir(str(base)), RuntimeDir(str(base))
    assert first.path != second.path
    assert first.path.is_dir()
    first.remove()
    assert second.path.is_dir()
    second.remove()


def test_what_a_killed_server_left_is_removed_by_the_next_one(base: Path) -> None:
    program = """
import os, sys
from tis.runtime_dir import RuntimeDir
made = RuntimeDir(sys.argv[1])
(made.path / "x.mail").touch()
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", program, str(base)], check=False)
    assert done.returncode == 9
    [left] = base.iterdir()
    runtime = RuntimeDir(str(base))
    assert not left.exists()
    runtime.remove()


def test_the_directory_of_a_living_server_of_another_process_stays(base: Path) -> None:
    program = """
import sys
from tis.runtime_dir import RuntimeDir
print(RuntimeDir(sys.argv[1]).path, flush=True)
sys.stdin.read()
"""
    arguments = [sys.executable, "-c", program, str(base)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        RuntimeDir(str(base)).remove()
        assert theirs.is_dir()
        other.communicate("")
    RuntimeDir(str(base)).remove()
    assert not theirs.exists()


def test_other_directories_beside_it_are_left_alone(base: Path) -> None:
    for name in ("other", "tis-notes"):
        (base / name).mkdir()
        (base / name / "file").touch()
    (base / "other" / "lock").touch()
    (base / "tis-file").touch()
    RuntimeDir(str(base)).remove()
    assert sorted(path.name for path in base.iterdir()) == ["other", "tis-file", "tis-notes"]


def test_a_lock_that_is_a_link_is_not_followed(base: Path) -> None:
    (base / "tis-trap").mkdir()
    (base / "precious").touch()
    (base / "tis-trap" / "lock").symlink_to(base / "precious")
    RuntimeDir(str(base)).remove()
    assert (base / "precious").exists()
    assert (base / "tis-trap").is_dir()


def test_it_is_locked_from_the_moment_others_can_find_it(base: Path) -> None:
    runtime = RuntimeDir(str(base))
    fd = os.open(runtime.path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    runtime.remove()


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made(base: Path) -> None:
    long = base / ("x" * 100)
    with pytest.raises(TisError, match="--runtime-directory"):
        RuntimeDir(str(long))
    assert not long.exists()
