"""The poller reports what is readable and sees to peers that can be written to again."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tis.carrier.datagram import Mailbox, Outbox
from tis.carrier.poller import Poller
from tis.contracts import messages as m

FIRST, SECOND = 1, 2


class Bench:
    def __init__(self, runtime_dir: Path) -> None:
        self.boxes = {peer: Mailbox(runtime_dir, peer) for peer in (FIRST, SECOND)}
        self.outbox = Outbox(runtime_dir)
        self.poller = Poller(self.outbox)

    def close(self) -> None:
        self.poller.close()
        self.outbox.close()
        for box in self.boxes.values():
            box.close()

    def fill(self, peer: int) -> int:
        """Send until the peer's queue is full; returns how many messages."""
        sent = 0
        while not any(self.outbox.blocked().values()):
            self.outbox.post(peer, m.Heartbeat(sent))
            self.outbox.flush()
            sent += 1
        return sent

    def drain(self, peer: int) -> list[int]:
        """Read and wait until nothing comes any more."""
        received: list[int] = []
        while arrived := self.boxes[peer].receive():
            received += [each.peer for each in arrived if isinstance(each, m.Heartbeat)]
            assert self.poller.wait(0.0) == []
        return received


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Short, since the path of a socket may have 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="tis-test-"))
    made = Bench(path)
    yield made
    made.close()
    shutil.rmtree(path)


def test_only_what_is_watched_and_readable_is_reported(bench: Bench) -> None:
    ours, theirs = socket.socketpair()
    quiet, other = socket.socketpair()
    bench.poller.watch(ours.fileno())
    bench.poller.watch(quiet.fileno())
    assert bench.poller.wait(0.0) == []
    theirs.send(b"x")
    assert bench.poller.wait(5.0) == [ours.fileno()]
    for each in (ours, theirs, quiet, other):
        each.close()


def test_a_descriptor_that_was_closed_is_reported_no_more(bench: Bench) -> None:
    ours, theirs = socket.socketpair()
    bench.poller.watch(ours.fileno())
    theirs.close()
    assert bench.poller.wait(0.0) == [ours.fileno()]
    ours.close()
    assert bench.poller.wait(0.0) == []


def test_a_blocked_peer_gets_the_rest_when_it_reads_and_is_not_reported_as_readable(bench: Bench) -> None:
    sent = bench.fill(FIRST)
    assert bench.poller.wait(0.0) == []
    assert bench.drain(FIRST) == list(range(sent))
    assert not bench.outbox.blocked()


def test_a_peer_can_block_again_and_again(bench: Bench) -> None:
    for _ in range(3):
        sent = bench.fill(FIRST)
        bench.poller.wait(0.0)
        assert bench.drain(FIRST) == list(range(sent))


@pytest.mark.parametrize("waits_between", [True, False])
def test_a_blocked_peer_with_the_descriptor_of_a_forgotten_one_is_seen_to(bench: Bench, waits_between: bool) -> None:
    bench.fill(FIRST)
    [fd] = bench.outbox.blocked()
    bench.poller.wait(0.0)
    bench.outbox.forget(FIRST)
    if waits_between:
        bench.poller.wait(0.0)
    sent = bench.fill(SECOND)
    assert list(bench.outbox.blocked()) == [fd], "the descriptor was not used again: the test tests nothing"
    bench.poller.wait(0.0)
    assert bench.drain(SECOND) == list(range(sent))
    assert not bench.outbox.blocked()
