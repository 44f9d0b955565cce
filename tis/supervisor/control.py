"""The supervisor's side of the control conversation: one ROUTER socket, addressed by peer id."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import zmq

from tis.contracts import messages as m
from tis.contracts.control import control_address
from tis.log import get_logger

_log = get_logger(__name__)


class ControlHub:
    """Sends to and receives from every child."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", runtime_dir: Path) -> None:
        self._socket: Final = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(control_address(runtime_dir))

    def fileno(self) -> int:
        """For polling; signals changes, so read everything each time."""
        fd: int = self._socket.getsockopt(zmq.FD)  # type: ignore[assignment]
        return fd

    def send(self, peer: int, *messages: m.Message) -> None:
        """Send to one child; a child that is not there (any more) hears nothing."""
        try:
            self._socket.send_multipart([str(peer).encode(), m.encode(list(messages))], zmq.DONTWAIT)
        except (zmq.Again, zmq.ZMQError) as error:
            _log.debug("a control message for peer %d could not be sent: %s", peer, error)

    def receive(self) -> Iterator[m.AnyMessage]:
        """Everything that has arrived."""
        while True:
            try:
                _, packet = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                yield from m.decode(packet)
            except msgspec.DecodeError as error:
                _log.error("a control message could not be understood: %s", error)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
