"""What waits for clients is bounded, in each stream and in all; who has most of it fails."""

from tis.errors import Code, TisError
from tis_frontend.backlog import EACH_BYTES, Backlog, Line


class Streams:
    """Lines with names, and the errors that they failed with."""

    def __init__(self, most_line_bytes: int, most_bytes: int) -> None:
        self.now_s = 100.0
        self.backlog = Backlog(most_line_bytes, most_bytes, lambda: self.now_s)
        self.failed: list[tuple[str, TisError]] = []

    def line(self, name: str) -> Line:
        return self.backlog.line(lambda error: self.failed.append((name, error)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.failed]


def test_what_is_taken_waits_no_more() -> None:
    streams = Streams(10_000, 20_000)
    line = streams.line("a")
    for _ in range(1000):
        line.add(3000, bounded=True)
        line.add(1, bounded=True)
        line.remove(3000)
        line.remove(1)
    assert (line.waiting_bytes, streams.backlog.waiting_bytes, streams.names) == (0, 0, [])


def test_a_line_that_gets_too_long_fails_and_holds_nothing() -> None:
    streams = Streams(10_000, 100_000)
    line, other = streams.line("a"), streams.line("b")
    other.add(5000, bounded=True)
    line.add(6000, bounded=True)
    assert streams.names == []
    streams.now_s += 1.0
    line.add(6000, bounded=True)
    assert streams.names == ["a"]
    error = streams.failed[0][1]
    assert error.code is Code.UNAVAILABLE
    assert error.message == (
        f"responses are not taken: {12_000 + 2 * EACH_BYTES} bytes of them wait for this client, and 10000 may; the rest of "
        "the stream is given up"
    )
    assert (line.waiting_bytes, streams.backlog.waiting_bytes) == (0, other.waiting_bytes)


def test_a_line_whose_client_takes_something_may_be_longer() -> None:
    streams = Streams(10_000, 100_000)
    line = streams.line("a")
    for _ in range(20):
        line.add(6000, bounded=True)
        streams.now_s += 0.9
        line.remove(2000 - EACH_BYTES)
    assert line.waiting_bytes == 20 * (4000 + EACH_BYTES)
    assert streams.names == []
    streams.now_s += 1.0
    line.add(1, bounded=True)
    assert streams.names == ["a"]


def test_the_time_before_something_waited_does_not_count() -> None:
    streams = Streams(10_000, 100_000)
    line = streams.line("a")
    for _ in range(2):
        streams.now_s += 60.0
        line.add(8000, bounded=True)
        line.add(8000, bounded=True)
        line.clear()
    assert streams.names == []


def test_many_small_ones_are_bounded_too() -> None:
    streams = Streams(100 * EACH_BYTES, 1 << 30)
    line = streams.line("a")
    line.add(0, bounded=True)
    added = 1
    streams.now_s += 1.0
    while not streams.failed:
        line.add(0, bounded=True)
        added += 1
    assert added == 101


def test_a_line_that_something_else_bounds_may_be_longer() -> None:
    streams = Streams(1000, 10_000)
    line = streams.line("a")
    line.add(5000, bounded=False)
    assert streams.names == []
    line.add(5000, bounded=False)
    assert streams.names == ["a"]


def test_of_all_lines_the_longest_fails_whoever_adds() -> None:
    streams = Streams(10_000, 15_000)
    short, long = streams.line("short"), streams.line("long")
    long.add(9000, bounded=True)
    short.add(3000, bounded=True)
    assert streams.names == []
    short.add(3000, bounded=True)
    assert streams.names == ["long"]
    assert streams.backlog.waiting_bytes == short.waiting_bytes == 6000 + 2 * EACH_BYTES


def test_a_line_that_is_closed_counts_no_more() -> None:
    streams = Streams(10_000, 15_000)
    gone, line = streams.line("gone"), streams.line("a")
    gone.add(9000, bounded=True)
    gone.close()
    gone.close()
    assert streams.backlog.lines == {line}
    line.add(9000, bounded=True)
    assert streams.names == []
    assert streams.backlog.waiting_bytes == line.waiting_bytes
