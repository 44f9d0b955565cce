"""Memory is given back once when most of many connections have gone, and not for a few."""

import gc

import pytest

from tis_frontend.leftovers import Leftovers


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: found.append(1))
    return found


def test_memory_is_given_back_whenever_half_of_many_have_gone(searches: list[int]) -> None:
    leftovers = Leftovers()
    told = {count: leftovers.look(count) for count in (0, 5000, 10_000, 6000, 5000, 4999, 2600, 100, 50)}
    assert [count for count, back in told.items() if back] == [5000, 100]
    assert len(searches) == 2


def test_it_is_given_back_again_after_the_next_crowd(searches: list[int]) -> None:
    leftovers = Leftovers()
    assert [leftovers.look(count) for count in (1000, 0, 1000, 0)] == [False, True, False, True]
    assert len(searches) == 2


def test_for_a_few_nothing_is_searched(searches: list[int]) -> None:
    leftovers = Leftovers()
    assert not any(leftovers.look(count) for count in (0, 499, 0, 300, 0, 10_000, 9000, 10_000, 8000))
    assert not searches
