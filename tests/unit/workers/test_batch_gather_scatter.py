"""What was put together for a batch comes apart again, for whole rows, ragged inputs and outputs scattered by shape."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.parts import Sent, model
from tis.contracts.model_spec import TensorSpec
from tis.contracts.scheduling_spec import BatchInputSpec, BatchOutputSpec
from tis.errors import Code, TisError
from tis_workers.batch.gather import filled_up, flattened, gather
from tis_workers.batch.parts import Array
from tis_workers.batch.scatter import by_shapes, cut, rows, scatter
from tis_workers.batch.shaping import Shaping, shaping_of

RAGGED = TensorSpec("R", "FP32", (-1, -1), allow_ragged_batch=True)
FIXED = TensorSpec("F", "INT32", (2,))
OUT = TensorSpec("O", "FP32", (-1, -1))

batch_sizes = st.lists(st.integers(1, 4), min_size=1, max_size=5)
ragged_shapes = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5)


def numbers(*shape: int, start: int = 0) -> Array:
    return (np.arange(np.prod(shape, dtype=int)) + start).astype(np.float32).reshape(shape)


def answered(answer: dict[str, Array] | TisError) -> dict[str, Any]:
    assert isinstance(answer, dict)
    return {name: array.tolist() for name, array in answer.items()}


def shaping(**more: Any) -> Shaping:
    found = shaping_of(model((RAGGED, FIXED), (OUT,), **more))
    assert found is not None
    return found


def test_a_model_of_whole_rows_needs_no_shaping() -> None:
    assert shaping_of(model((FIXED,), (OUT,))) is None


@given(batch_sizes, st.integers(0, 3))
def test_rows_come_back_to_who_sent_them(sizes: list[int], width: int) -> None:
    sent = [Sent(size, {"A": numbers(size, width, start=100 * at)}) for at, size in enumerate(sizes)]
    batch = gather(sent)
    assert batch["A"].shape == (sum(sizes), width)
    for request, answer in zip(sent, scatter(sent, {"O": batch["A"] * 2}), strict=True):
        assert answered(answer) == {"O": (request.inputs["A"] * 2).tolist()}


def test_strings_are_gathered_as_they_are() -> None:
    arrays = [np.array([[b"a", b"b"]], np.object_), np.array([[b""]], np.object_)]
    assert flattened(arrays).tolist() == [b"a", b"b", b""]


def test_requests_for_whom_rows_are_left_are_answered_and_the_others_told_in_tritons_words() -> None:
    first, second, third = rows("O", numbers(3, 1), [2, 2, 1])
    assert isinstance(first, np.ndarray)
    assert first.tolist() == [[0], [1]]
    for fault, needed in ((second, 4), (third, 5)):
        assert isinstance(fault, TisError)
        assert fault.code is Code.UNSUPPORTED
        assert fault.message == (
            f"failed to split the output tensor 'O' in responses: expected batch size of at least {needed} in model "
            "output, got 3"
        )


def test_rows_that_nobody_asked_for_are_dropped() -> None:
    assert [part.tolist() for part in rows("O", numbers(9), [1, 2]) if isinstance(part, np.ndarray)] == [[0], [1, 2]]


def test_a_scalar_is_one_row() -> None:
    assert [type(part) for part in rows("O", np.array(1.0), [1, 1])] == [np.ndarray, TisError]


def test_an_output_that_fails_a_request_fails_it_whole() -> None:
    good, bad = scatter([Sent(1), Sent(1)], {"A": numbers(2, 1), "B": numbers(1, 1)})
    assert answered(good) == {"A": [[0]], "B": [[0]]}
    assert isinstance(bad, TisError)


@given(ragged_shapes)
def test_a_ragged_input_is_all_elements_in_a_row(sent_shapes: list[tuple[int, int, int]]) -> None:
    sent = [
        Sent(shape[0], {"R": numbers(*shape, start=100 * at), "F": np.zeros((shape[0], 2), np.int32)})
        for at, shape in enumerate(sent_shapes)
    ]
    inputs = shaping().gather(sent)
    assert inputs["R"].ndim == 1
    assert inputs["R"].tolist() == [value for request in sent for value in request.inputs["R"].ravel().tolist()]
    assert inputs["F"].shape == (sum(shape[0] for shape in sent_shapes), 2)


@given(ragged_shapes)
def test_what_a_ragged_model_passes_through_comes_back_in_its_shape(sent_shapes: list[tuple[int, int, int]]) -> None:
    sent = [Sent(shape[0], {"R": numbers(*shape, start=100 * at)}) for at, shape in enumerate(sent_shapes)]
    made = shaping(batch_outputs=(BatchOutputSpec("SCATTER_WITH_INPUT_SHAPE", ("O",), "R"),))
    for request, answer in zip(sent, made.scatter(sent, {"O": made.gather(sent)["R"]}), strict=True):
        assert answered(answer) == {"O": request.inputs["R"].tolist()}


def test_a_dimension_that_the_config_fixes_is_not_taken_from_the_input() -> None:
    output = TensorSpec("O", "FP32", (6,), reshape=(-1, 3))
    spec = model((RAGGED,), (output,), batch_outputs=(BatchOutputSpec("SCATTER_WITH_INPUT_SHAPE", ("O",), "R"),))
    sent = [Sent(1, {"R": numbers(1, 2, 9)}), Sent(2, {"R": numbers(2, 1, 9)})]
    first, second = Shaping(spec).scatter(sent, {"O": numbers(12)})
    assert answered(first) == {"O": [[[0, 1, 2], [3, 4, 5]]]}
    assert answered(second) == {"O": [[[6, 7, 8]], [[9, 10, 11]]]}


def test_each_target_of_a_batch_output_is_scattered() -> None:
    outputs = (OUT, TensorSpec("P", "FP32", (-1, -1)))
    spec = model((RAGGED,), outputs, batch_outputs=(BatchOutputSpec("SCATTER_WITH_INPUT_SHAPE", ("O", "P"), "R"),))
    sent = [Sent(1, {"R": numbers(1, 1, 2)}), Sent(1, {"R": numbers(1, 2, 1)})]
    answers = Shaping(spec).scatter(sent, {"O": numbers(4), "P": numbers(2, 2)})
    assert [answered(answer) for answer in answers] == [
        {"O": [[[0, 1]]], "P": [[[0, 1]]]},
        {"O": [[[2], [3]]], "P": [[[2], [3]]]},
    ]


def test_elements_that_do_not_suffice_fail_only_those_who_miss_them() -> None:
    first, second = by_shapes("O", numbers(5), [(1, 3), (1, 3)])
    assert isinstance(first, np.ndarray)
    assert first.tolist() == [[0, 1, 2]]
    assert isinstance(second, TisError)
    assert "expected at least 6 elements in model output, got 5" in second.message


def test_a_request_alone_gets_the_inputs_that_the_server_makes() -> None:
    made = shaping(batch_inputs=(BatchInputSpec("ELEMENT_COUNT", ("C", "D"), "INT32", "R"),))
    sent = [Sent(2, {"R": numbers(2, 1, 3)})]
    assert not made.leaves(sent[0])
    inputs = made.gather(sent)
    assert {name: array.tolist() for name, array in inputs.items()} == {"R": [0, 1, 2, 3, 4, 5], "C": [6], "D": [6]}


def test_without_batching_a_ragged_input_is_flat_and_outputs_stay_as_they_are() -> None:
    made = shaping(max_batch_size=0)
    sent = [Sent(0, {"R": numbers(2, 3)})]
    assert made.gather(sent)["R"].shape == (6,)
    assert answered(made.scatter(sent, {"O": numbers(4)})[0]) == {"O": [0, 1, 2, 3]}


def test_the_missing_source_of_a_batch_input_is_told() -> None:
    made = shaping(batch_inputs=(BatchInputSpec("ELEMENT_COUNT", ("C",), "INT32", "R"),))
    with pytest.raises(TisError, match="input 'R' is missing, which batch input 'C' is made from"):
        made.gather([Sent(1, {"F": np.zeros((1, 2), np.int32)})])


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=5), st.integers(0, 3), st.data())
def test_filling_up_and_cutting_are_inverse(sizes: list[tuple[int, int]], spare: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(1, 2))
    arrays = [numbers(count, *((length, 2) if axis == 1 else (2, length))) for count, length in sizes]
    longest = max(length for _, length in sizes) + spare
    batch = filled_up(arrays, axis, longest, np.array(-1, np.float32))
    assert batch.shape[0] == sum(count for count, _ in sizes)
    assert batch.shape[axis] == longest
    at = 0
    for array in arrays:
        mine = batch[at : at + array.shape[0]]
        assert cut(mine, axis, array.shape[axis]).tolist() == array.tolist()
        assert (np.moveaxis(mine, axis, 1)[:, array.shape[axis] :] == -1).all()
        at += array.shape[0]
