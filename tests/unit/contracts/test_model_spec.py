"""What is derived from a model's specification."""

import msgspec
import pytest

from tis.contracts.model_spec import ModelSpec, TensorSpec


def model(*inputs: TensorSpec) -> ModelSpec:
    outputs = (TensorSpec("Y", "FP32", (1,)), TensorSpec("Z", "BYTES", (-1,)))
    return ModelSpec("m", 3, "onnxruntime_onnx", "onnxruntime", 8, inputs, outputs)


A = TensorSpec("A", "FP32", (4, 2))
B = TensorSpec("B", "INT32", (-1,))
C = TensorSpec("C", "INT32", (1,), optional=True)


def test_a_request_is_routed_by_name_and_version() -> None:
    assert model(A).key == ("m", 3)


def test_tensors_are_found_by_name_and_by_their_position_in_the_config() -> None:
    spec = model(B, A, C)
    assert spec.inputs_by_name == {"A": A, "B": B, "C": C}
    assert spec.input_positions == {"B": 0, "A": 1, "C": 2}
    assert list(spec.outputs_by_name) == ["Y", "Z"]
    assert spec.output_positions == {"Y": 0, "Z": 1}


def test_optional_inputs_are_not_required() -> None:
    assert model(A, B, C).required_inputs == {"A", "B"}
    assert model(C).required_inputs == frozenset()


@pytest.mark.parametrize(("inputs", "needed"), [((A,), False), ((A, B), True), ((A, C), True), ((), False)])
def test_only_variable_or_optional_inputs_can_keep_requests_apart(inputs: tuple[TensorSpec, ...], needed: bool) -> None:
    assert model(*inputs).needs_batch_key is needed


def test_variable_dimensions_are_seen() -> None:
    assert B.has_variable_dims
    assert not A.has_variable_dims
    assert not TensorSpec("S", "FP32", ()).has_variable_dims


def test_derived_properties_do_not_change_what_is_sent_or_compared() -> None:
    used, fresh = model(A, B), model(A, B)
    assert used.needs_batch_key
    assert used.inputs_by_name
    assert used == fresh
    assert msgspec.msgpack.encode(used) == msgspec.msgpack.encode(fresh)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(used), type=ModelSpec) == fresh


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        model(A).version = 4  # type: ignore[misc]
