"""How many files a process may have open (RLIMIT_NOFILE): each connection of a client is one."""

import resource
from typing import Final

from tis.log import get_logger

#: Raised no further: programs that models start may walk over all descriptors that there could be.
_ENOUGH: Final = 1 << 20
#: Fewer than this are told of.
_FEW: Final = 4096

_log = get_logger(__name__)


def raise_file_limit() -> int:
    """Let this process, and those that it starts, have as many files as the hard limit allows; gives how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wished:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
        soft = wished
    most = _ENOUGH if soft == resource.RLIM_INFINITY else soft
    if most < _FEW:
        _log.warning(
            "a process may have %d files open, so a frontend takes at most about %d connections; raise the hard limit "
            "(`ulimit -Hn`, systemd's LimitNOFILE=, Docker's --ulimit nofile) for more",
            most,
            most * 3 // 4,
        )
    return most
