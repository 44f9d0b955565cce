"""Memory that the server makes for one client: an anonymous object that nobody can find by name, and nobody can resize."""

import fcntl
import os
from typing import Final

from tis_shm.region import RegionError

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def make_granted(size_bytes: int) -> int:
    """A descriptor of a new object of zeros, whose size is sealed: who maps it cannot be ended by another who cuts it.

    Processes of this user open it as `/proc/<pid>/fd/<descriptor>`; its pages take memory when they are touched.

    Raises:
        RegionError: the machine refuses.
    """
    fd = -1
    try:
        fd = os.memfd_create("tis-granted", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise RegionError(f"a region of {size_bytes} bytes cannot be made: {error}") from error
    return fd
