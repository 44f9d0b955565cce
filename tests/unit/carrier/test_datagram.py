"""The carrier: in order, nothing lost, a slow peer holds up only itself, a peer that is gone is dropped."""

import select
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tis.carrier.datagram import PACKET_BYTES, Mailbox, Outbox, mailbox_path
from tis.contracts import messages as m

SLOW, QUICK, ABSENT = 1, 2, 3


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """Short, since the path of a socket may have 107 bytes at most."""
    path = Path(tempfile.mkdtemp(prefix="tis-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def slow(runtime_dir: Path) -> Iterator[Mailbox]:
    mailbox = Mailbox(runtime_dir, SLOW)
    yield mailbox
    mailbox.close()


@pytest.fixture
def quick(runtime_dir: Path) -> Iterator[Mailbox]:
    mailbox = Mailbox(runtime_dir, QUICK)
    yield mailbox
    mailbox.close()


@pytest.fixture
def outbox(runtime_dir: Path) -> Iterator[Outbox]:
    box = Outbox(runtime_dir)
    yield box
    box.close()


def beat(number: int) -> m.Heartbeat:
    return m.Heartbeat(number)


def numbers(messages: list[m.AnyMessage]) -> list[int]:
    assert all(isinstance(message, m.Heartbeat) for message in messages)
    return [message.peer for message in messages if isinstance(message, m.Heartbeat)]


def fill(outbox: Outbox, peer: int, start: int = 0) -> int:
    """Send packets of one message until the peer's queue is full and one is held; returns the next number."""
    number = start
    while not outbox.blocked():
        outbox.post(peer, beat(number))
        outbox.flush()
        number += 1
    return number


def is_writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


def test_messages_of_a_turn_arrive_as_one_packet_in_order(slow: Mailbox, outbox: Outbox) -> None:
    for number in range(5):
        outbox.post(SLOW, beat(number))
    assert slow.receive() == []
    outbox.flush()
    assert numbers(slow.receive()) == [0, 1, 2, 3, 4]
    assert slow.receive() == []


def test_a_turn_with_nothing_to_say_sends_nothing(slow: Mailbox, outbox: Outbox) -> None:
    outbox.flush()
    outbox.post(SLOW, beat(1))
    outbox.flush()
    outbox.flush()
    assert numbers(slow.receive()) == [1]
    assert slow.receive() == []


def test_a_mailbox_polls_readable_when_something_lies_in_it(slow: Mailbox, outbox: Outbox) -> None:
    assert not select.select([slow.fileno()], [], [], 0)[0]
    outbox.post(SLOW, beat(1))
    outbox.flush()
    assert select.select([slow.fileno()], [], [], 0)[0]


def test_a_full_receiver_loses_nothing_and_gets_everything_in_order(slow: Mailbox, outbox: Outbox) -> None:
    sent = fill(outbox, SLOW)
    for _ in range(50):
        outbox.post(SLOW, beat(sent))
        outbox.flush()
        sent += 1
    [fd] = outbox.blocked()
    assert not is_writable(fd)
    received: list[int] = []
    while len(received) < sent:
        received += numbers(slow.receive())
        for blocked in list(outbox.blocked()):
            assert is_writable(blocked)
            outbox.resume(blocked)
    assert received == list(range(sent))
    assert not outbox.blocked()
    assert outbox.dropped == 0


def test_a_slow_peer_holds_up_only_itself(slow: Mailbox, quick: Mailbox, outbox: Outbox) -> None:
    fill(outbox, SLOW)
    for number in range(100):
        outbox.post(SLOW, beat(-1))
        outbox.post(QUICK, beat(number))
        outbox.flush()
        assert numbers(quick.receive()) == [number]
    assert len(outbox.blocked()) == 1
    assert slow.receive()


def test_messages_posted_while_blocked_follow_what_is_held(slow: Mailbox, outbox: Outbox) -> None:
    sent = fill(outbox, SLOW)
    before = numbers(slow.receive())
    outbox.post(SLOW, beat(sent))
    outbox.flush()
    assert before + numbers(slow.receive()) == list(range(sent + 1))


def test_a_turn_larger_than_a_packet_is_cut_into_several_in_order(slow: Mailbox, outbox: Outbox) -> None:
    text = "x" * 30_000
    for number in range(20):
        outbox.post(SLOW, m.Failure(number, "INTERNAL", text))
    outbox.flush()
    received: list[m.AnyMessage] = []
    while len(received) < 20:
        arrived = slow.receive()
        assert arrived
        received += arrived
        for fd in list(outbox.blocked()):
            outbox.resume(fd)
    assert received == [m.Failure(number, "INTERNAL", text) for number in range(20)]


def test_no_packet_of_several_messages_is_larger_than_every_kernel_grants(
    slow: Mailbox, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = m.decode

    def noting(packet: bytes) -> list[m.AnyMessage]:
        sizes.append(len(packet))
        return real(packet)

    monkeypatch.setattr(m, "decode", noting)
    for number in range(3000):
        outbox.post(SLOW, m.Failure(number, "INTERNAL", "x" * 100))
    outbox.flush()
    received = 0
    while received < 3000:
        received += len(slow.receive())
        for fd in list(outbox.blocked()):
            outbox.resume(fd)
    assert len(sizes) > 1
    assert max(sizes) <= PACKET_BYTES


def test_a_single_message_larger_than_a_packet_still_arrives(slow: Mailbox, outbox: Outbox) -> None:
    large = m.Failure(1, "INTERNAL", "x" * (PACKET_BYTES + 20_000))
    outbox.post(SLOW, beat(1))
    outbox.post(SLOW, large)
    outbox.post(SLOW, beat(2))
    outbox.flush()
    assert slow.receive() == [beat(1), large, beat(2)]


@pytest.mark.parametrize("size_bytes", [5 << 20, 64 << 20])
def test_a_message_that_no_packet_can_carry_is_dropped_and_both_sides_live_on(
    slow: Mailbox, outbox: Outbox, size_bytes: int
) -> None:
    outbox.post(SLOW, beat(1))
    outbox.flush()
    outbox.post(SLOW, m.Failure(1, "INTERNAL", "x" * size_bytes))
    outbox.flush()
    outbox.post(SLOW, beat(2))
    outbox.flush()
    assert numbers(slow.receive()) == [1, 2]
    assert outbox.dropped == 1


# ---- peers that are not there --------------------------------------------------------------------------------------


def test_what_is_for_a_peer_that_never_was_is_dropped_and_counted(quick: Mailbox, outbox: Outbox) -> None:
    outbox.post(ABSENT, beat(1))
    outbox.post(QUICK, beat(2))
    outbox.flush()
    assert outbox.dropped == 1
    assert numbers(quick.receive()) == [2]


def test_a_peer_that_has_gone_is_dropped_and_others_are_not(quick: Mailbox, outbox: Outbox, runtime_dir: Path) -> None:
    gone = Mailbox(runtime_dir, SLOW)
    outbox.post(SLOW, beat(1))
    outbox.flush()
    gone.close()
    outbox.post(SLOW, beat(2))
    outbox.post(QUICK, beat(3))
    outbox.flush()
    assert outbox.dropped == 1
    assert not outbox.blocked()
    assert numbers(quick.receive()) == [3]


def test_a_peer_that_dies_with_packets_held_for_it_is_dropped_when_its_socket_says_so(
    outbox: Outbox, runtime_dir: Path
) -> None:
    dying = Mailbox(runtime_dir, SLOW)
    fill(outbox, SLOW)
    dying.close()
    [fd] = outbox.blocked()
    assert is_writable(fd)
    outbox.resume(fd)
    assert not outbox.blocked()
    assert outbox.dropped == 1


def test_forgetting_a_peer_drops_what_is_held_and_posted_and_closes_its_socket(slow: Mailbox, outbox: Outbox) -> None:
    sent = fill(outbox, SLOW)
    [fd] = outbox.blocked()
    outbox.post(SLOW, beat(sent))
    outbox.forget(SLOW)
    assert not outbox.blocked()
    assert outbox.dropped >= 1
    outbox.flush()
    outbox.resume(fd)
    outbox.forget(SLOW)
    assert numbers(slow.receive()) == list(range(sent - 1))


def test_a_closed_mailbox_leaves_no_file(runtime_dir: Path) -> None:
    mailbox = Mailbox(runtime_dir, SLOW)
    assert mailbox_path(runtime_dir, SLOW).is_socket()
    mailbox.close()
    assert list(runtime_dir.iterdir()) == []


def test_peer_1_does_not_get_what_is_for_peer_10(runtime_dir: Path, slow: Mailbox, outbox: Outbox) -> None:
    ten = Mailbox(runtime_dir, 10)
    outbox.post(10, beat(1))
    outbox.flush()
    assert slow.receive() == []
    assert numbers(ten.receive()) == [1]
    ten.close()
