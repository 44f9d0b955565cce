"""The supervisor's loop calls back for descriptors, moments and signals, and does nothing inside a signal handler."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tis.supervisor.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    made = Loop()
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def turns(loop: Loop, count: int) -> None:
    """Run so many turns."""
    left = count

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            loop.stop()

    loop.later(0, lambda: None)
    loop.run(count_down)


def test_a_readable_descriptor_is_reported_until_it_is_removed(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    seen: list[bytes] = []

    def read() -> None:
        seen.append(ours.recv(10))
        loop.stop()

    loop.add_reader(ours.fileno(), read)
    for word in (b"a", b"b"):
        theirs.send(word)
        loop.run(lambda: None)
    assert seen == [b"a", b"b"]
    loop.remove_reader(ours.fileno())
    theirs.send(b"c")
    turns(loop, 1)
    assert seen == [b"a", b"b"]
    ours.close()
    theirs.close()


def test_a_reader_removed_by_another_in_the_same_turn_is_not_called(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def called_first(index: int) -> None:
        called.append(index)
        loop.remove_reader(pairs[1 - index][0].fileno())
        loop.stop()

    for index, (ours, theirs) in enumerate(pairs):
        loop.add_reader(ours.fileno(), lambda index=index: called_first(index))  # type: ignore[misc]
        theirs.send(b"x")
    loop.run(lambda: None)
    assert len(called) == 1
    for pair in pairs:
        for each in pair:
            each.close()


def test_moments_that_have_come_are_told_in_order_and_once(loop: Loop) -> None:
    order: list[str] = []
    loop.later(0.002, lambda: order.append("later"))
    loop.later(0, lambda: order.append("first"))
    loop.later(0, lambda: order.append("second"))
    loop.later(0.004, loop.stop)
    loop.run(lambda: None)
    assert order == ["first", "second", "later"]
    turns(loop, 1)
    assert len(order) == 3


def test_a_moment_can_set_another_and_a_far_one_is_not_told_early(loop: Loop) -> None:
    told: list[str] = []

    def tell() -> None:
        told.append("next")
        loop.stop()

    loop.later(3600, lambda: told.append("much later"))
    loop.later(0, lambda: loop.later(0, tell))
    loop.run(lambda: None)
    assert told == ["next"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_told_from_the_loop_and_not_from_its_handler(loop: Loop, number: signal.Signals) -> None:
    told: list[str] = []

    def tell() -> None:
        told.append("signal")
        loop.stop()

    loop.on_signal(number, tell)
    os.kill(os.getpid(), number)
    assert told == []
    loop.run(lambda: None)
    assert told == ["signal"]


def test_every_turn_is_ended_by_its_callback_even_when_nothing_else_happens(loop: Loop) -> None:
    count = 0

    def turn() -> None:
        nonlocal count
        count += 1
        if count < 3:
            loop.later(0, lambda: None)
        else:
            loop.stop()

    loop.later(0, lambda: None)
    loop.run(turn)
    assert count == 3


def test_after_closing_a_signal_cuts_nothing_short() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    closed = Loop()
    closed.on_signal(signal.SIGUSR1, lambda: None)
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    closed.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    signal.signal(signal.SIGUSR1, before)
