"""Anonymous objects of clients: only those whose size is sealed are opened, by the descriptor that a process has of them."""

import fcntl
import os
from pathlib import Path

import pytest

from tis_shm.region import RegionError, identity_of, open_sealed

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def memory(seals: int) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 4096)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def test_an_object_whose_size_is_sealed_is_opened() -> None:
    fd = memory(SEALS | fcntl.F_SEAL_SEAL)
    opened = open_sealed(os.getpid(), fd)
    assert identity_of(opened) == identity_of(fd)
    os.close(opened)
    os.close(fd)


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW])
def test_an_object_whose_size_may_change_is_refused(seals: int) -> None:
    fd = memory(seals)
    with pytest.raises(RegionError, match="size is sealed"):
        open_sealed(os.getpid(), fd)
    os.close(fd)


def test_what_is_no_anonymous_object_is_refused(tmp_path: Path) -> None:
    pipe = os.pipe()
    folder = os.open(tmp_path, os.O_RDONLY)
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    shared = os.open(f"/dev/shm/tis-test-{os.getpid()}", os.O_RDWR | os.O_CREAT)
    Path(f"/dev/shm/tis-test-{os.getpid()}").unlink()
    for fd in (*pipe, folder, file, shared):
        with pytest.raises(RegionError):
            open_sealed(os.getpid(), fd)
        os.close(fd)
    with pytest.raises(RegionError, match="No such file"):
        open_sealed(os.getpid(), shared)
