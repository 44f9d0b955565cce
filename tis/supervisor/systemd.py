"""What systemd gives a service and what it wants to hear: sockets it already listens on, notifications, the watchdog.

The protocols are those of sd_listen_fds(3) and sd_notify(3). Without systemd nothing is given, and what is said goes nowhere.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from tis.log import get_logger

_FIRST_FD: Final = 3
#: A manager that does not read must not hold the server up for longer.
_SEND_DEADLINE_S: Final = 1.0

_log = get_logger(__name__)


class Systemd:
    """The service manager, as its environment variables told. They are taken out: children must not answer to them."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        taken = environment if environment is not None else {}
        self._address = _address(taken.pop("NOTIFY_SOCKET", ""))
        watchdog_us = _number(taken.pop("WATCHDOG_USEC", ""))
        watchdog_pid = _number(taken.pop("WATCHDOG_PID", ""))
        #: How long the manager waits for a sign of life; 0 where it waits for none.
        self.watchdog_s: Final = watchdog_us / 1e6 if watchdog_pid in (0, os.getpid()) else 0.0
        #: Sockets that somebody listens on for us, with their names; they are the caller's to close.
        self.sockets: Final = _inherited(
            _number(taken.pop("LISTEN_PID", "")),
            _number(taken.pop("LISTEN_FDS", "")),
            taken.pop("LISTEN_FDNAMES", ""),
        )

    @property
    def listens(self) -> bool:
        """Whether there is anybody to notify."""
        return bool(self._address)

    def notify(self, *assignments: str) -> None:
        """Tell the manager, such as `READY=1`. One that does not listen is nobody's failure."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(_SEND_DEADLINE_S)
                sending.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            _log.warning("systemd could not be told %s: %s", " ".join(assignments), error)


def monotonic_us() -> int:
    """What `MONOTONIC_USEC` means."""
    return time.monotonic_ns() // 1000


def _address(text: str) -> str:
    """An address in the file system, or an abstract one, which is written with an @."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _inherited(pid: int, number: int, names: str) -> list[tuple[str, socket.socket]]:
    if pid != os.getpid():
        return []
    spoken = names.split(":") if names else []
    found = []
    for index in range(number):
        os.set_inheritable(_FIRST_FD + index, False)
        name = spoken[index] if index < len(spoken) else ""
        found.append((name, socket.socket(fileno=_FIRST_FD + index)))
    return found
