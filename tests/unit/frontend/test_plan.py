"""A plan is what stays of a request that fits its model: positions instead of names, and the batch it may join."""

import pytest

from tis.contracts import messages as m
from tis.contracts.inference import InferRequest, InputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.plan import make_plan
from tis.errors import TisError

INPUTS = (TensorSpec("A", "FP32", (2,)), TensorSpec("S", "BYTES", (-1,)))
OUTPUTS = (TensorSpec("Y", "FP32", (2,)), TensorSpec("Z", "FP32", (2,)))
SPEC = ModelSpec("m", 3, "", "", 8, INPUTS, OUTPUTS)


def request(*outputs: str) -> InferRequest:
    strings = InputTensor("S", "BYTES", (1, 1), 5, 64)
    floats = InputTensor("A", "FP32", (1, 2), 8, 0)
    return InferRequest("m", 3, "x", [strings, floats], list(outputs))


def test_tensors_are_named_by_their_positions_in_the_config() -> None:
    plan = make_plan(SPEC, request("Z"))
    assert (plan.model, plan.version, plan.batch_size) == ("m", 3, 1)
    assert plan.inputs == (m.TensorRef(1, (1, 1), 64, 5), m.TensorRef(0, (1, 2), 0, 8))
    assert plan.outputs == (1,)


def test_no_outputs_listed_means_all() -> None:
    assert make_plan(SPEC, request()).outputs is None


def test_an_output_listed_twice_is_wanted_once() -> None:
    assert make_plan(SPEC, request("Z", "Y", "Z")).outputs == (0, 1)


def test_the_clients_own_parameters_go_along() -> None:
    asked = request()
    asked.parameters = {"n": 1, "s": "x"}
    assert make_plan(SPEC, asked).parameters == {"n": 1, "s": "x"}


def test_inputs_whose_elements_must_be_counted_are_kept() -> None:
    assert [tensor.name for tensor in make_plan(SPEC, request()).strings] == ["S"]


def test_requests_of_other_shapes_have_other_batch_keys() -> None:
    other = request()
    other.inputs[0].shape = (1, 2)
    assert make_plan(SPEC, request()).batch_key != make_plan(SPEC, other).batch_key


def test_a_request_that_does_not_fit_has_no_plan() -> None:
    with pytest.raises(TisError, match="expected 2 inputs but got 0"):
        make_plan(SPEC, InferRequest("m", 3, "", []))
