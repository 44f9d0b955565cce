"""A process that keeps dying is started again ever later and then not at all; one that lived is forgiven."""

import pytest

from tis.supervisor.backoff import FIRST_DELAY_S, LONGEST_DELAY_S, MOST_DEATHS, STABLE_AFTER_S, Backoff


def test_each_delay_is_about_twice_the_one_before() -> None:
    backoff = Backoff()
    for death in range(MOST_DEATHS):
        delay_s = backoff.died(0.01)
        assert delay_s is not None
        exact_s = min(FIRST_DELAY_S * 2**death, LONGEST_DELAY_S)
        assert exact_s <= delay_s <= exact_s * 1.2


def test_after_too_many_deaths_in_a_row_it_gives_up_and_stays_so() -> None:
    backoff = Backoff()
    for _ in range(MOST_DEATHS):
        assert backoff.died(0.0) is not None
    assert backoff.died(0.0) is None
    assert backoff.died(STABLE_AFTER_S - 0.001) is None


def test_a_process_that_lived_long_enough_starts_the_count_anew() -> None:
    backoff = Backoff()
    for _ in range(MOST_DEATHS):
        backoff.died(0.0)
    delay_s = backoff.died(STABLE_AFTER_S)
    assert delay_s is not None
    assert delay_s <= FIRST_DELAY_S * 1.2
    assert backoff.deaths == 1


def test_no_delay_is_ever_longer_than_the_longest() -> None:
    backoff = Backoff(deaths=MOST_DEATHS - 1)
    delay_s = backoff.died(0.0)
    assert delay_s is not None
    assert delay_s <= LONGEST_DELAY_S * 1.2


def test_processes_that_die_together_do_not_start_together() -> None:
    assert len({Backoff().died(0.0) for _ in range(20)}) > 1


@pytest.mark.parametrize("worked_s", [0.0, STABLE_AFTER_S, 1e9])
def test_the_first_death_is_always_followed_by_a_start(worked_s: float) -> None:
    assert Backoff().died(worked_s) is not None


def test_what_is_forgiven_counts_no_more() -> None:
    backoff = Backoff()
    for _ in range(10 * MOST_DEATHS):
        backoff.forgive()
        assert backoff.died(0.0) is not None
