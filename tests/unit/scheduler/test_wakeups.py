"""Moments at which to look at something again: the last one set for each thing holds, and nothing piles up."""

from hypothesis import given
from hypothesis import strategies as st

from tis.scheduler.wakeups import Wakeups


def test_the_earliest_moment_comes_first_and_each_comes_once() -> None:
    wakeups: Wakeups[str] = Wakeups()
    assert wakeups.next_ns() is None
    wakeups.set("late", 20)
    wakeups.set("early", 10)
    assert wakeups.next_ns() == 10
    assert wakeups.due(9) == []
    assert wakeups.due(20) == ["early", "late"]
    assert (wakeups.due(99), wakeups.next_ns()) == ([], None)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 50))))
def test_only_the_last_moment_set_for_a_thing_holds(changes: list[tuple[str, int | None]]) -> None:
    wakeups: Wakeups[str] = Wakeups()
    expected: dict[str, int] = {}
    for thing, at_ns in changes:
        wakeups.set(thing, at_ns)
        expected.pop(thing, None)
        if at_ns is not None:
            expected[thing] = at_ns
        assert wakeups.next_ns() == min(expected.values(), default=None)
    assert sorted(wakeups.due(25)) == sorted(thing for thing, at_ns in expected.items() if at_ns <= 25)


def test_moments_that_are_changed_again_and_again_do_not_pile_up() -> None:
    wakeups: Wakeups[str] = Wakeups()
    wakeups.set("first", 0)
    for at_ns in range(1, 10_000):
        wakeups.set("again", at_ns)
    assert len(wakeups._heap) < 200
