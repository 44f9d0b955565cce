"""System shared memory that a client made: finding the object by its key, mapping it, and keeping to its bounds.

`multiprocessing.shared_memory` is not used: it would unlink what is not ours, and cannot map what has been found before.
"""

import fcntl
import mmap
import os
import stat
from pathlib import Path
from typing import Final

_SHM: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
_LONGEST_NAME_BYTES: Final = 254
_OPEN_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class RegionError(Exception):
    """A client's region cannot be found, mapped, or used as asked."""


def open_object(key: str) -> int:
    """A descriptor of the POSIX shared-memory object of this name, with or without the leading slash, as `shm_open` has it.

    Raises:
        RegionError: there is none that this process may read and write.
    """
    name = key.lstrip("/")
    try:
        if not name or "/" in name or len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
            raise RegionError(f"{key!r} is not the name of a shared-memory object")
        fd = os.open(_SHM / name, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise RegionError(f"shared-memory object {key!r}: {error}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RegionError(f"{key!r} is not a shared-memory object")
    return fd


def open_sealed(pid: int, fd: int) -> int:
    """A descriptor of the anonymous object (memfd) that a client has open as `fd`, whose size nobody can change.

    Whoever calls this has made sure that the process is the one that asks.

    Raises:
        RegionError: it is not there, may not be opened by this process, or is something else.
    """
    path = Path(f"/proc/{pid}/fd/{fd}")
    try:
        # First looked at: to open something else might have effects.
        if not stat.S_ISREG(path.stat().st_mode):
            raise RegionError("it is not shared memory")
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise RegionError(f"descriptor {fd} of process {pid}: {error.strerror}") from error
    try:
        if fcntl.fcntl(opened, fcntl.F_GET_SEALS) & _SIZE_SEALS == _SIZE_SEALS:
            return opened
    except OSError:
        pass  # a file of another kind has no seals
    os.close(opened)
    raise RegionError("it is no anonymous object whose size is sealed (F_SEAL_SHRINK, F_SEAL_GROW)")


def identity_of(fd: int) -> tuple[int, int]:
    """What tells an object from every other one of this machine: device and inode."""
    about = os.fstat(fd)
    return about.st_dev, about.st_ino


def open_shared(pid: int, fd: int, key: str, identity: tuple[int, int]) -> int:
    """A descriptor of the object that another process of this user has open as `fd`, whatever its name leads to by now.

    Where that process cannot be looked into, or has closed it, the name is tried; no other object is ever opened so.

    Raises:
        RegionError: the object cannot be reached either way.
    """
    try:
        opened = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        opened = open_object(key)
    if identity_of(opened) != identity:
        os.close(opened)
        opened = open_object(key)
        if identity_of(opened) != identity:
            os.close(opened)
            raise RegionError("the object that was registered is gone")
    return opened


def object_bytes(fd: int) -> int:
    """The size of an object at this moment."""
    return os.fstat(fd).st_size


def holds(region_bytes: int, start: int, size_bytes: int) -> bool:
    """True where `[start, start + size_bytes)` lies inside a region of so many bytes; no number is too large to ask for."""
    return start >= 0 and size_bytes >= 0 and start + size_bytes <= region_bytes


def _cannot_shrink(fd: int) -> bool:
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:
        return False  # a file of a kind that has no seals


class SystemRegion:
    """The range `[offset, offset + size_bytes)` of an object, mapped for reading and writing.

    The whole object up to the range's end is mapped, so that the range need not begin at a page. The object stays its
    client's, who may make it smaller at any time unless its size is sealed: touching what is gone would end this
    process. So every view is asked for anew and checked against the object as it is then. A client that cuts the object
    while a request runs cannot be guarded against; the process dies, and is started again, with that client's requests
    and those beside it.
    """

    def __init__(self, fd: int, offset: int, size_bytes: int) -> None:
        """Take over `fd` and map its object.

        Raises:
            RegionError: the object does not hold the range (any more), or the machine refuses to map it.
        """
        self._fd = fd
        self._offset: Final = offset
        self.size_bytes: Final = size_bytes
        try:
            about = os.fstat(fd)
            if offset + size_bytes > about.st_size:
                raise RegionError(
                    f"the object has {about.st_size} bytes; the region ends at {offset + size_bytes}: its client has made it "
                    "smaller since it was registered"
                )
            self._map = mmap.mmap(fd, offset + size_bytes, mmap.MAP_SHARED)
        except (OSError, ValueError, OverflowError) as error:
            os.close(fd)
            raise RegionError(f"cannot be mapped: {error}") from error
        except RegionError:
            os.close(fd)
            raise
        #: The object behind the region: two regions may share one.
        self.identity: Final = (about.st_dev, about.st_ino)
        #: Nobody can make the object smaller, so its size need not be looked at again.
        self._is_sealed: Final = _cannot_shrink(fd)

    def fileno(self) -> int:
        """The object's descriptor."""
        return self._fd

    @property
    def offset(self) -> int:
        """Where the region begins in its object."""
        return self._offset

    def view(self, start: int, size_bytes: int) -> memoryview:
        """Bytes of the region, in place, to be read and written.

        Raises:
            RegionError: they are not inside the region, or the object has become too small to hold them.
        """
        if not holds(self.size_bytes, start, size_bytes):
            raise RegionError(
                f"bytes {start} to {start + size_bytes} are not inside the region of {self.size_bytes} bytes"
            )
        begin = self._offset + start
        if not self._is_sealed and begin + size_bytes > os.fstat(self._fd).st_size:
            raise RegionError("the client has made its shared-memory object smaller than the region that it registered")
        return memoryview(self._map)[begin : begin + size_bytes]

    def close(self) -> bool:
        """Unmap. False where somebody still holds a view: the mapping stays, and this is to be called again later."""
        try:
            self._map.close()
        except BufferError:
            return False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        return True
