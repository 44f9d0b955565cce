"""Runs a process of the server on some cores and with memory of some NUMA node only, from its very first thread on.

    python -P -m tis.pinned --cores=0-3,8 --node=1 MODULE ARGUMENTS…

Numerical libraries start threads when they are imported, and threads keep the cores that they were started with: so this
comes before any of them, and imports nothing itself. Whoever starts it has checked that the kernel will allow it.
"""

import argparse
import ctypes
import os
import platform
import runpy
import sys
from collections.abc import Iterable
from typing import Final

_MPOL_DEFAULT: Final = 0
_MPOL_BIND: Final = 2
#: Numbers of set_mempolicy, which the C library does not offer.
_SET_MEMPOLICY: Final = {"x86_64": 238, "aarch64": 237}
_MASK_BITS: Final = 1024
_WORD_BITS: Final = 8 * ctypes.sizeof(ctypes.c_ulong)


def core_list(cores: Iterable[int]) -> str:
    """Numbers as the kernel writes lists of them: `0-3,8`."""
    ranges: list[list[int]] = []
    for core in sorted(set(cores)):
        if ranges and core == ranges[-1][1] + 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in ranges)


def cores_of(text: str) -> frozenset[int]:
    """The numbers of such a list.

    Raises:
        ValueError: it is none.
    """
    cores: set[int] = set()
    for part in text.strip().split(","):
        if part:
            low, dash, high = part.partition("-")
            cores |= set(range(int(low), int(high if dash else low) + 1))
    return frozenset(cores)


def may_bind_memory() -> bool:
    """True where the kernel lets this process choose its memory's node; containers often forbid that."""
    return _set_mempolicy(_MPOL_DEFAULT, None) == 0


def bind_memory(node: int) -> None:
    """Take memory from one NUMA node only, now and in all threads and processes started later.

    Raises:
        OSError: the kernel refuses.
    """
    mask = (ctypes.c_ulong * (_MASK_BITS // _WORD_BITS))()
    mask[node // _WORD_BITS] = 1 << (node % _WORD_BITS)
    if _set_mempolicy(_MPOL_BIND, mask) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Unable to set NUMA memory policy: {os.strerror(error)}")


def _set_mempolicy(mode: int, mask: "ctypes.Array[ctypes.c_ulong] | None") -> int:
    number = _SET_MEMPOLICY.get(platform.machine())
    if number is None:
        return -1
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, mode, mask, _MASK_BITS if mask else 0)
    return result


def main(argv: list[str]) -> None:
    """Pin this process, then be the module named."""
    parser = argparse.ArgumentParser(description="A part of the tis server; started by `tis serve`, not by hand.")
    parser.add_argument("--cores", default="")
    parser.add_argument("--node", type=int)
    parser.add_argument("module")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    if arguments.cores:
        os.sched_setaffinity(0, cores_of(arguments.cores))
    if arguments.node is not None:
        bind_memory(arguments.node)
    sys.argv = [arguments.module, *arguments.rest]
    runpy.run_module(arguments.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
