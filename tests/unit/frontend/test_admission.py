"""A model's flood leaves room for others, and nothing is refused without need."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.errors import Code, TisError
from tis_frontend.admission import Admission, Share

CAPACITY_BYTES, MOST = 1000, 100


def flood(admission: Admission, model: str, size_bytes: int = 10) -> list[Share]:
    """As many requests for a model as are let in."""
    entered = []
    while True:
        try:
            entered.append(admission.enter(model, size_bytes))
        except TisError as error:
            assert error.code is Code.UNAVAILABLE  # noqa: PT017 - which request is refused is not known
            return entered


def test_one_model_alone_gets_four_fifths_of_the_bytes() -> None:
    assert len(flood(Admission(CAPACITY_BYTES, 10**6), "a")) == 80


def test_one_model_alone_gets_four_fifths_of_the_requests() -> None:
    assert len(flood(Admission(10**9, MOST), "a", 0)) == 80


def test_a_flood_leaves_room_for_another_model_and_another() -> None:
    admission = Admission(CAPACITY_BYTES, 10**6)
    flood(admission, "a")
    assert len(flood(admission, "b")) == 16
    assert len(flood(admission, "c")) >= 3


def test_a_model_with_nothing_in_flight_is_let_in_while_there_is_any_room() -> None:
    admission = Admission(CAPACITY_BYTES, 3)
    for model in ("a", "b", "c"):
        admission.enter(model, 0)
    with pytest.raises(TisError, match="the server has 3 requests in flight already"):
        admission.enter("d", 0)


def test_the_refusal_says_how_full_it_is() -> None:
    admission = Admission(CAPACITY_BYTES, 10**6)
    flood(admission, "a")
    with pytest.raises(TisError) as caught:
        admission.enter("a", 10)
    assert "model 'a' has 80 requests with 800 bytes in flight" in caught.value.message
    assert "800 of 1000 bytes are taken; try again" in caught.value.message


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.booleans())))
def test_what_has_left_counts_for_nothing(steps: list[tuple[str, int, bool]]) -> None:
    admission = Admission(CAPACITY_BYTES, MOST)
    inside: list[tuple[Share, int]] = []
    for model, size_bytes, leaves in steps:
        if leaves and inside:
            admission.leave(*inside.pop(0))
            continue
        try:
            inside.append((admission.enter(model, size_bytes), size_bytes))
        except TisError:
            continue
    for each in inside:
        admission.leave(*each)
    assert len(flood(admission, "a")) == 80
