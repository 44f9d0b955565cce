"""Who counts as having stopped in the middle: who makes no way for a while, or next to none."""

from dataclasses import dataclass

from tis_frontend.stalls import LEAST_BYTES, Stalls


@dataclass(eq=False)
class Fake:
    """An exchange of which a test says how far it is."""

    passed: int | None = 0

    def passed_bytes(self) -> int | None:
        return self.passed

    def give_up(self) -> None:
        raise AssertionError


def test_who_makes_no_way_for_as_long_as_that_has_stalled() -> None:
    stalls, one = Stalls(60.0), Fake(100)
    assert stalls.look([one], 0.0) == []
    assert stalls.look([one], 59.0) == []
    assert stalls.look([one], 60.0) == [one]


def test_a_trickle_is_no_way() -> None:
    stalls, one = Stalls(60.0), Fake(0)
    for second in range(60):
        one.passed = second
        assert stalls.look([one], float(second)) == []
    assert stalls.look([one], 60.0) == [one]


def test_who_goes_on_is_waited_for_however_long_it_takes() -> None:
    stalls, one = Stalls(60.0), Fake(0)
    for step in range(100):
        one.passed = step * LEAST_BYTES
        assert stalls.look([one], step * 59.0) == []


def test_time_in_which_it_is_not_the_clients_turn_does_not_count() -> None:
    stalls, one = Stalls(60.0), Fake(5)
    assert stalls.look([one], 0.0) == []
    one.passed = None
    assert stalls.look([one], 100.0) == []
    one.passed = 5
    assert stalls.look([one], 101.0) == []
    assert stalls.look([one], 160.0) == []
    assert stalls.look([one], 161.0) == [one]


def test_a_message_that_begins_anew_is_a_way() -> None:
    stalls, one = Stalls(60.0), Fake(1000)
    assert stalls.look([one], 0.0) == []
    one.passed = 10
    assert stalls.look([one], 59.0) == []
    assert stalls.look([one], 118.0) == []
