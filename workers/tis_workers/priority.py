"""`optimization.priority` of a model: how the operating system shares the cores among instances."""

import os
from typing import Final

from tis.log import get_logger

#: What Triton gave the threads of models of these priorities, beside those of others.
_LOWEST_NICE: Final = 19
_RAISE: Final = 5

_log = get_logger(__name__)


def set_priority(model: str, priority: str, *, is_first: bool) -> None:
    """Set this process's nice value; call it before any thread is started, since threads inherit it.

    MIN yields to everybody. MAX goes before the others, which takes the right to lower nice values (CAP_SYS_NICE or a limit
    `nice` that allows it); without it the instance stays as it is, and the first one of a model says so in the log.
    """
    now = os.getpriority(os.PRIO_PROCESS, 0)
    if priority == "MIN":
        os.setpriority(os.PRIO_PROCESS, 0, max(now, _LOWEST_NICE))
    elif priority == "MAX":
        try:
            os.setpriority(os.PRIO_PROCESS, 0, now - _RAISE)
        except PermissionError:
            if is_first:
                _log.warning(
                    "model '%s': priority PRIORITY_MAX has no effect, since this server may not lower nice values; it "
                    "needs CAP_SYS_NICE",
                    model,
                )
