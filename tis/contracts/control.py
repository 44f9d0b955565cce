"""A child's side of the control conversation with the supervisor: one ZeroMQ DEALER socket, packets of messages.

Used by the scheduler, the frontends and the workers alike. What the messages mean to a child is the child's own business.
"""

import os
import time
from pathlib import Path
from typing import Final, TypeVar

import zmq

from tis.contracts import messages
from tis.log import change as change_log
from tis.log import get_logger
from tis.settings import LogSettings

#: How long a child waits for the supervisor's first answer, in seconds.
BOOT_DEADLINE_S: Final = 20.0


def control_address(runtime_dir: Path) -> str:
    """Where the supervisor listens."""
    return f"ipc://{runtime_dir}/control"


def requests_path(runtime_dir: Path) -> Path:
    """The socket on which the scheduler listens for requests, ZeroMQ's `ipc://` transport."""
    return runtime_dir / "requests"


_M = TypeVar("_M", bound=messages.Message)
_log = get_logger(__name__)


class ControlLink:
    """The socket to the supervisor, with the hello already exchanged."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", runtime_dir: Path, peer: int) -> None:
        self.peer: Final = peer
        self.runtime_dir: Final = runtime_dir
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, str(peer).encode())
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.connect(control_address(runtime_dir))
        self._early: list[messages.AnyMessage] = []
        #: True where something may have arrived that the descriptor does not tell of: after a send, and after `wait_for`.
        self.must_read = False
        self.send(messages.Hello(peer, os.getpid()))

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """For polling."""
        return self._socket

    def send(self, *what: messages.Message) -> None:
        """Send messages as one packet."""
        self._socket.send(messages.encode(list(what)), zmq.DONTWAIT)
        self.must_read = True

    def receive(self) -> list[messages.AnyMessage]:
        """Everything that has arrived. Call it until it is empty: the socket's descriptor signals changes, not states.

        Changed log settings are in force when this returns; to everybody alike, so nobody needs to look for them.
        """
        arrived = self._collect()
        for message in arrived:
            if isinstance(message, messages.LogChanged):
                _change_log(message.settings)
        return arrived

    def _collect(self) -> list[messages.AnyMessage]:
        arrived, self._early = self._early, []
        self.must_read = False
        while True:
            try:
                packet = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return arrived
            arrived += messages.decode(packet)

    def wait_for_or_stop(self, kind: type[_M], deadline_s: float) -> _M | None:
        """The same as `wait_for`; None where the supervisor says stop instead.

        Raises:
            TimeoutError: neither came in time.
        """
        found = self._wait((kind, messages.Stop), deadline_s)
        return found if isinstance(found, kind) else None

    def wait_for(self, kind: type[_M], deadline_s: float) -> _M:
        """The next message of a kind; others that come before it are kept for `receive`.

        Raises:
            TimeoutError: none came in time.
        """
        found = self._wait((kind,), deadline_s)
        if not isinstance(found, kind):
            raise TypeError(found)
        return found

    def _wait(self, kinds: tuple[type[messages.Message], ...], deadline_s: float) -> messages.AnyMessage:
        end_s = time.monotonic() + deadline_s
        passed: list[messages.AnyMessage] = []
        while True:
            arrived = self._collect()
            for position, message in enumerate(arrived):
                if isinstance(message, kinds):
                    self._early = passed + arrived[position + 1 :]
                    self.must_read = True
                    return message
                passed.append(message)
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not self._socket.poll(int(left_s * 1000) + 1):
                raise TimeoutError(f"the supervisor sent no {kinds[0].__name__} within {deadline_s:.0f} s")

    def close(self) -> None:
        """Close, after what was sent has left or a moment has passed."""
        self._socket.close()


def _change_log(settings: LogSettings) -> None:
    """A log file that cannot be opened now leaves the log as it was."""
    try:
        change_log(settings)
    except OSError as error:
        _log.error("the log file '%s' cannot be opened: %s", settings.file, error.strerror or error)
