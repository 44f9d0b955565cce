"""Inputs of differing lengths are filled up to what their bucket says, and outputs are cut back to each one's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.parts import Sent, model
from tis.contracts.inference import InputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import BatchInputSpec, PaddingSpec
from tis.contracts.validation import batch_key
from tis.errors import TisError
from tis_workers.batch.padding import fill_value
from tis_workers.batch.shaping import Shaping

IDS = TensorSpec("IDS", "INT64", (-1,))
MASK = TensorSpec("MASK", "BOOL", (-1,))
FRAMES = TensorSpec("FRAMES", "FP32", (3, -1, -1))
OUTPUTS = (TensorSpec("TOKENS", "FP32", (-1, 2)), TensorSpec("WHOLE", "FP32", (-1,)))


def padded(*bounds: int, inputs: tuple[TensorSpec, ...] = (IDS, MASK)) -> ModelSpec:
    values = {tensor.name: -7.0 if tensor is IDS else 0.0 for tensor in inputs}
    return model(inputs, OUTPUTS, padding=PaddingSpec(values, bounds, ("TOKENS",)))


def request(items: int, length: int) -> Sent:
    return Sent(items, {"IDS": np.full((items, length), length, np.int64), "MASK": np.ones((items, length), np.bool_)})


def key(spec: ModelSpec, **shapes: tuple[int, ...]) -> bytes:
    return batch_key(
        spec, [InputTensor(name, spec.inputs_by_name[name].datatype, shape, 0) for name, shape in shapes.items()]
    )


@pytest.mark.parametrize(
    ("bounds", "filled"), [((), 5), ((4, 8), 8), ((5,), 5), ((2, 4), 5)], ids=["none", "bound", "equal", "beyond"]
)
def test_a_batch_is_filled_up_to_its_bucket_or_else_to_its_longest(bounds: tuple[int, ...], filled: int) -> None:
    inputs = Shaping(padded(*bounds)).gather([request(1, 3), request(2, 5)])
    assert inputs["IDS"].dtype == np.int64
    assert inputs["IDS"].tolist() == [[3] * 3 + [-7] * (filled - 3), *[[5] * 5 + [-7] * (filled - 5)] * 2]
    assert inputs["MASK"].sum(axis=1).tolist() == [3, 5, 5]


def test_a_request_whose_length_fits_runs_as_it_is() -> None:
    assert Shaping(padded()).leaves(request(1, 3))
    assert Shaping(padded(3)).leaves(request(1, 3))
    assert Shaping(padded(2)).leaves(request(1, 3))
    assert not Shaping(padded(4)).leaves(request(1, 3))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=5), st.sampled_from([(), (4, 8)]))
def test_outputs_are_cut_back_to_each_requests_length(sizes: list[tuple[int, int]], bounds: tuple[int, ...]) -> None:
    shaping = Shaping(padded(*bounds))
    sent = [request(*size) for size in sizes]
    ids = shaping.gather(sent)["IDS"].astype(np.float32)
    answers = shaping.scatter(sent, {"TOKENS": np.stack([ids, -ids], axis=2), "WHOLE": ids})
    for (items, length), answer in zip(sizes, answers, strict=True):
        assert isinstance(answer, dict)
        assert answer["TOKENS"].tolist() == [[[length, -length]] * length] * items
        assert answer["WHOLE"].shape == (items, ids.shape[1])


def test_an_output_without_the_length_is_told() -> None:
    sent = [request(1, 3), request(1, 5)]
    outputs = {"TOKENS": np.zeros((2, 4, 2), np.float32)}
    for answer in Shaping(padded()).scatter(sent, outputs):
        assert isinstance(answer, TisError)
        assert "its dimension 1 should be the length of input 'IDS', which is 5 in this batch" in answer.message


def test_inputs_of_their_own_lengths_are_filled_up_by_themselves() -> None:
    shaping = Shaping(padded(inputs=(IDS, FRAMES)))
    sent = [
        Sent(1, {"IDS": np.ones((1, ids), np.int64), "FRAMES": np.ones((1, 3, frames, 2), np.float32)})
        for ids, frames in ((2, 9), (6, 4))
    ]
    inputs = shaping.gather(sent)
    assert (inputs["IDS"].shape, inputs["FRAMES"].shape) == ((2, 6), (2, 3, 9, 2))
    assert inputs["FRAMES"].sum() == (9 + 4) * 3 * 2


def test_batch_inputs_tell_the_lengths_before_filling_up() -> None:
    spec = padded(8)
    lengths = BatchInputSpec("ITEM_SHAPE", ("LENGTHS",), "INT32", "IDS")
    made = model(spec.inputs, spec.outputs, batch_inputs=(lengths,), padding=spec.extensions.padding)
    assert Shaping(made).gather([request(1, 3), request(2, 5)])["LENGTHS"].tolist() == [[3], [5], [5]]


def test_requests_of_one_bucket_share_a_batch_and_others_do_not() -> None:
    spec = padded(4, 8)
    keys = {length: key(spec, IDS=(1, length), MASK=(1, length)) for length in (1, 4, 5, 8, 9, 700)}
    assert keys[1] == keys[4] != keys[5] == keys[8] != keys[9] == keys[700]
    assert keys[4] != keys[700]


def test_the_other_variable_dimensions_must_still_be_equal() -> None:
    spec = padded(inputs=(FRAMES,))
    assert key(spec, FRAMES=(1, 3, 5, 2)) == key(spec, FRAMES=(2, 3, 9, 2)) != key(spec, FRAMES=(1, 3, 5, 4))


@pytest.mark.parametrize(
    ("datatype", "value", "bits"),
    [
        ("BF16", 1.0, 0x3F80),
        ("BF16", -2.0, 0xC000),
        ("BF16", float("inf"), 0x7F80),
        ("BF16", float("nan"), 0x7FC0),
        ("BF16", 1.00390625, 0x3F80),
        ("BF16", 1.01171875, 0x3F82),
    ],
)
def test_bf16_is_filled_with_the_bits_of_the_nearest_value(datatype: str, value: float, bits: int) -> None:
    filling = fill_value(datatype, value)
    assert filling.dtype == np.uint16
    assert int(filling) == bits


@pytest.mark.parametrize(("datatype", "value"), [("INT8", -128), ("UINT64", 255), ("BOOL", 1), ("FP16", -0.5)])
def test_other_datatypes_are_filled_with_the_value(datatype: str, value: float) -> None:
    assert float(fill_value(datatype, value)) == value
