"""The carrier of batches and replies: Unix datagram sockets in the server's private runtime directory.

Each process has one mailbox, named by its peer id, and an outbox with one connected socket a peer. Why not ZeroMQ here:
a ZeroMQ hop wakes its I/O threads on both sides besides the receiver; a datagram wakes the receiver alone, which on a
small machine is worth a third of the throughput. This module is the only place that knows which carrier it is.
"""

import errno
import socket
from collections import deque
from pathlib import Path
from typing import Any, Final

from tis.contracts import messages
from tis.log import get_logger

#: Asked of the kernel for each sending socket; it grants at most net.core.wmem_max, 212,992 on most machines.
_SEND_BUFFER_BYTES: Final = 4 << 20
#: Packets are cut at this many bytes: below what every kernel grants.
PACKET_BYTES: Final = 128 << 10
_LARGEST_DATAGRAM_BYTES: Final = 4 << 20
PACKETS_A_TURN: Final = 256

_log = get_logger(__name__)


def mailbox_path(runtime_dir: Path, peer: int) -> Path:
    """Where a peer's mailbox lies."""
    return runtime_dir / f"{peer}.mail"


class Mailbox:
    """Where a process receives. Non-blocking; readable when `fileno()` polls readable."""

    def __init__(self, runtime_dir: Path, peer: int) -> None:
        self._path = mailbox_path(runtime_dir, peer)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(str(self._path))
        self._buffer = memoryview(bytearray(_LARGEST_DATAGRAM_BYTES))

    def fileno(self) -> int:
        """For polling."""
        return self._socket.fileno()

    def receive(self, most_packets: int = PACKETS_A_TURN) -> list[messages.AnyMessage]:
        """Everything that has arrived, up to a bounded number of packets so that a loop keeps turning.

        Who reads one packet only, and polls again, finds out without a system call that fails that there is no more.
        """
        arrived: list[messages.AnyMessage] = []
        for _ in range(most_packets):
            try:
                size_bytes = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                break
            arrived += messages.decode(bytes(self._buffer[:size_bytes]))
        return arrived

    def leave(self) -> None:
        """Close it in a process that is not its owner; it stays where it is."""
        self._socket.close()

    def close(self) -> None:
        """Close and remove the mailbox."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


class _Peer:
    """What goes to one peer: messages of this turn, and packets that its full queue has held up."""

    __slots__ = ("held", "socket", "turn")

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self.turn: list[Any] = []
        self.held: deque[bytes] = deque()
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise


class Outbox:
    """Where a process sends: `post` during a turn of its loop, `flush` at the end of it.

    A peer that is slow holds up only itself: its packets wait here, in order, until its socket polls writable again
    (`blocked()` lists those sockets). What waits is bounded by what the peer asked for, since everything sent is an
    answer or a batch for a bounded slot. A peer that has gone is dropped, and what was for it with it.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self._runtime_dir = runtime_dir
        self._peers: dict[int, _Peer] = {}
        self._this_turn: list[_Peer] = []
        self._blocked: dict[int, _Peer] = {}
        #: Packets thrown away because their peer had gone or they were too large to send.
        self.dropped = 0

    def post(self, peer: int, message: messages.Message) -> None:
        """Queue a message for the end of this turn."""
        known = self._peers.get(peer)
        if known is None:
            try:
                known = self._peers[peer] = _Peer(mailbox_path(self._runtime_dir, peer))
            except (FileNotFoundError, ConnectionRefusedError):
                self.dropped += 1
                return
        if not known.turn:
            self._this_turn.append(known)
        known.turn.append(message)

    def flush(self) -> None:
        """Send what this turn has posted."""
        for peer in self._this_turn:
            posted, peer.turn = peer.turn, []
            packet = messages.encode(posted)
            if len(packet) <= PACKET_BYTES:
                peer.held.append(packet)
            else:
                peer.held.extend(_cut(posted))
            self._send(peer)
        self._this_turn.clear()

    def blocked(self) -> dict[int, _Peer]:
        """Sockets to poll for writing, by file descriptor; pass the descriptor to `resume` then."""
        return self._blocked

    def resume(self, fd: int) -> None:
        """A blocked socket has become writable."""
        peer = self._blocked.pop(fd, None)
        if peer is not None:
            self._send(peer)

    def retry(self) -> None:
        """Send to blocked peers what they take by now, where nobody polls for them. They stay blocked until `resume`."""
        for peer in list(self._blocked.values()):
            self._send(peer)

    def forget(self, peer: int) -> None:
        """The peer has gone: close its socket and drop what was for it."""
        known = self._peers.pop(peer, None)
        if known is not None:
            self.dropped += len(known.held)
            self._blocked.pop(known.socket.fileno(), None)
            known.held.clear()
            known.turn.clear()
            known.socket.close()

    def close(self) -> None:
        """Close all sockets."""
        for peer in list(self._peers):
            self.forget(peer)

    def _send(self, peer: _Peer) -> None:
        held = peer.held
        while held:
            try:
                if len(held[0]) > _LARGEST_DATAGRAM_BYTES:
                    raise OSError(errno.EMSGSIZE, "larger than a mailbox can receive")
                peer.socket.send(held[0])
            except (BlockingIOError, InterruptedError):
                self._blocked[peer.socket.fileno()] = peer
                return
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    # Senders bound what they say, so this is a mistake of theirs; it must not end their process.
                    _log.error("a message of %d bytes is too large to send and is dropped", len(held[0]))
                    self.dropped += 1
                    held.popleft()
                    continue
                if error.errno not in (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF):
                    raise
                self.dropped += len(held)
                held.clear()
                return
            held.popleft()


def _cut(posted: list[Any]) -> list[bytes]:
    """Packets of at most PACKET_BYTES, but for a single message that is larger by itself."""
    packets: list[bytes] = []
    group: list[Any] = []
    group_bytes = 0
    for message in posted:
        size_bytes = len(messages.encode([message]))
        if group and group_bytes + size_bytes > PACKET_BYTES:
            packets.append(messages.encode(group))
            group, group_bytes = [], 0
        group.append(message)
        group_bytes += size_bytes
    packets.append(messages.encode(group))
    return packets
