"""The C library's heap in a worker: memory that a batch has given back is kept for the next one.

Facts: glibc hands large freed blocks back to the kernel at once, and gets zeroed pages for the next one, each with a fault.
For a copy of 600 KB that is 150 faults, which cost more than the copy: a model in Python with 8 clients of such tensors took
418 us of a core a request, and takes 149 without. Decision: keep what a model has needed once, up to a bound; larger blocks
are still mapped and unmapped. Cost: memory of a worker's largest batches stays with it.
"""

import ctypes
import os
from typing import Final

# Numbers from glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
#: The most that glibc takes: larger blocks are always mapped.
_LARGEST_KEPT_BYTES: Final = 32 << 20
_KEPT_BYTES: Final = 128 << 20


def keep_freed_memory() -> None:
    """Do so from now on, unless the operator has given settings of the C library's heap, or it has none of these."""
    if any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
