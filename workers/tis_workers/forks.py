"""Processes that a model forks off: they must neither answer for the worker nor keep what it listens on.

A child of `os.fork` goes on in the middle of the model's code with copies of everything. Its work for the model is its own
affair, also as a process of `multiprocessing`. Of the server it is left nothing: the sockets are closed there, calls into
the server raise, and a child that returns from the model's code ends.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from tis_workers.python_api.errors import TritonModelException

_EXIT_CODE: Final = 0

_leaving: list[Callable[[], None]] = []
#: True in a process that a model has forked off.
_is_forked = False
#: The signal mask of a thread that forks, as it was before.
_masks = threading.local()


def keep_running_on_sigterm() -> None:
    """The supervisor alone ends a worker. What a model starts can be ended as any process can.

    So it is not ignored, which a program that is started here would inherit; and a process that is forked off gets the
    default back: `multiprocessing` ends its processes by this signal, and waits for ever for one that does not care.
    """
    signal.signal(signal.SIGTERM, _go_on)
    # One that comes before the child has its default back would be lost.
    os.register_at_fork(before=_hold_sigterm, after_in_parent=_let_sigterm, after_in_child=_end_on_sigterm)


def _go_on(_number: int, _frame: object) -> None:
    """What SIGTERM does to a worker."""


def _hold_sigterm() -> None:
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _end_on_sigterm() -> None:
    # Unless the model has decided otherwise.
    if signal.getsignal(signal.SIGTERM) is _go_on:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_sigterm()


def on_fork(leave: Callable[[], None]) -> None:
    """Call this in processes that are forked off from this one."""
    if not _leaving:
        os.register_at_fork(after_in_child=_forked)
    _leaving.append(leave)


def end_if_forked() -> None:
    """To be called where the model's code returns: a forked process goes no further."""
    if _is_forked:
        os._exit(_EXIT_CODE)


def refuse_if_forked() -> None:
    """To be called where the model's code calls the server.

    Raises:
        TritonModelException: this process is not the worker.
    """
    if _is_forked:
        _refuse()


def _refuse() -> NoReturn:
    raise TritonModelException(
        "a process that the model has forked off cannot use the server's interface; only the process that the server "
        "started can answer"
    )


def _forked() -> None:
    global _is_forked
    _is_forked = True
    for leave in _leaving:
        leave()


def forked_off() -> bool:
    """Whether this is a process that a model has forked off."""
    return _is_forked
