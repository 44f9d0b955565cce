"""Inputs that `tis test` makes up, or reads from its command line."""

from typing import Any

import numpy as np
import pytest

from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import WarmupInputSpec, WarmupSpec
from tis.testing import ModelError
from tis.testing.inputs import inputs_for


def spec_of(*inputs: TensorSpec, max_batch_size: int = 0, **more: Any) -> ModelSpec:
    return ModelSpec("m", 1, "", "b", max_batch_size, inputs, (TensorSpec("Y", "FP32", (1,)),), **more)


def only(spec: ModelSpec, given: str) -> "np.ndarray[Any, Any]":
    inputs, _ = inputs_for(spec, {"X": given}, {}, "zero")
    return inputs["X"]


@pytest.mark.parametrize("datatype", ["FP32", "BOOL", "INT8", "BYTES", "BF16", "FP16"])
def test_what_nobody_gives_is_made_by_datatype_and_dims_with_1_for_any_size(datatype: str) -> None:
    spec = spec_of(TensorSpec("X", datatype, (-1, 3)), TensorSpec("Z", "FP32", (2,), optional=True), max_batch_size=4)
    inputs, source = inputs_for(spec, {}, {}, "random")
    assert {name: array.shape for name, array in inputs.items()} == {"X": (1, 1, 3)}
    assert source == "random"
    inputs, _ = inputs_for(spec, {}, {"X": (5, 3), "Z": (2,)}, "zero")
    assert {name: array.shape for name, array in inputs.items()} == {"X": (1, 5, 3), "Z": (1, 2)}


@pytest.mark.parametrize(
    ("datatype", "dims", "given", "expected"),
    [
        ("INT32", (-1,), "1,2,3", [1, 2, 3]),
        ("INT32", (3, -1), "1,2,3,4,5,6", [[1, 2], [3, 4], [5, 6]]),
        ("FP32", (1,), "1.5", [1.5]),
        ("BOOL", (-1,), "true,0,1", [True, False, True]),
        ("BYTES", (2,), "a,b c", [b"a", b"b c"]),
        ("FP32", (-1, -1), "1,2", [[1.0, 2.0]]),
    ],
)
def test_values_of_the_command_line_fill_the_dims(
    datatype: str, dims: tuple[int, ...], given: str, expected: Any
) -> None:
    assert only(spec_of(TensorSpec("X", datatype, dims)), given).tolist() == expected
    assert only(spec_of(TensorSpec("X", datatype, dims), max_batch_size=2), given).tolist() == [expected]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("1,2", r"2 values, which are no tensor of the dims \[3\]; expected 3"),
        ("a", "takes INT8"),
        ("1000,1,1", "takes INT8"),
    ],
)
def test_values_that_do_not_fit_are_refused(given: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        only(spec_of(TensorSpec("X", "INT8", (3,))), given)


def test_a_name_that_is_no_input_is_refused_with_those_there_are() -> None:
    with pytest.raises(ModelError, match="model 'm' has no input 'Z'; it has X"):
        inputs_for(spec_of(TensorSpec("X", "INT8", (3,))), {"Z": "1"}, {}, "zero")


def test_the_first_warm_up_sample_goes_before_random_data_and_what_is_given_before_both() -> None:
    inputs = (TensorSpec("X", "FP32", (-1,)), TensorSpec("Z", "FP32", (4,), reshape=(2, 2)))
    sample = WarmupSpec(
        "s", 1, (WarmupInputSpec("X", "FP32", (7,), "zero"), WarmupInputSpec("Z", "FP32", (4,), "zero"))
    )
    spec = spec_of(*inputs, max_batch_size=4, warmups=(sample,))
    made, source = inputs_for(spec, {}, {}, "random")
    assert {name: array.shape for name, array in made.items()} == {"X": (1, 7), "Z": (1, 4)}
    assert source == "warm-up sample 's'"
    made, source = inputs_for(spec, {"X": "1", "Z": "1,2,3,4"}, {}, "random")
    assert (made["X"].tolist(), source) == ([[1]], "")
