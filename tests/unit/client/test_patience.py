"""How long a client looks for an answer is learnt from how long answers took. No time passes here."""

import os

import pytest

from tis.client.patience import Patience

SHORT_NS, LONG_NS = 50_000, 5_000_000


def looks(patience: Patience) -> bool:
    """Whether it looks at all."""
    return patience.spin(lambda: True)


def test_nobody_looks_before_a_sleep_was_short() -> None:
    patience = Patience(300)
    assert not looks(patience)
    patience.slept(LONG_NS)
    assert not looks(patience)
    patience.slept(SHORT_NS)
    assert looks(patience)


def test_long_sleeps_end_it_and_short_ones_make_it_longer_up_to_the_longest() -> None:
    patience = Patience(300)
    for _ in range(10):
        patience.slept(SHORT_NS)
    assert SHORT_NS < patience._spin_ns <= 300_000
    for _ in range(10):
        patience.slept(LONG_NS)
    assert not looks(patience)


def test_zero_is_never_and_less_is_refused() -> None:
    patience = Patience(0)
    for _ in range(3):
        patience.slept(0 + 1)
    assert not looks(patience)
    with pytest.raises(ValueError, match="spin_us is -1"):
        Patience(-1)


def test_what_does_not_come_is_not_found() -> None:
    patience = Patience(20)
    patience.slept(10_000)
    seen: list[int] = []
    assert not patience.spin(lambda: seen.append(1))


@pytest.mark.parametrize(("cores", "is_looking"), [(1, False), (3, False), (4, True)])
def test_where_nothing_is_said_it_looks_only_with_a_core_for_each_process_of_a_request(
    monkeypatch: pytest.MonkeyPatch, cores: int, is_looking: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    patience = Patience(None)
    patience.slept(SHORT_NS)
    assert looks(patience) is is_looking
