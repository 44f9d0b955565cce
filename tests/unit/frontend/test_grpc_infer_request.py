"""ModelInferRequest is read by Triton's rules: where data come from, which field carries what, what is ignored."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tis.contracts.arrays import NUMPY, decode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.grpc.infer_request import parse

SPEC = ModelSpec("m", 3, "", "", 0, (TensorSpec("A", "FP32", (2,)),), (TensorSpec("Y", "FP32", (2,)),))
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def request(*inputs: Any, raw: tuple[bytes, ...] = (), **fields: Any) -> Any:
    return pb.ModelInferRequest(model_name="m", inputs=inputs, raw_input_contents=raw, **fields)


def typed(datatype: str, field: str, values: list[Any]) -> Any:
    """An input with its data in a field of `contents`."""
    contents: dict[str, Any] = {field: values}
    return tensor(datatype=datatype, **contents)


def tensor(name: str = "A", datatype: str = "FP32", shape: tuple[int, ...] = (2,), **contents: Any) -> Any:
    made = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents:
        made.contents.SetInParent()
        made.contents.MergeFrom(pb.InferTensorContents(**contents))
    return made


def fault(message: Any) -> str:
    with pytest.raises(TisError) as caught:
        parse(SPEC, message)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


# ---- the request ---------------------------------------------------------------------------------------------------


def test_id_model_version_and_outputs_are_taken_over() -> None:
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name="Y")]
    parsed, data, size_bytes = parse(SPEC, request(id="x", outputs=outputs))
    assert (parsed.client_id, parsed.model, parsed.version, parsed.outputs) == ("x", "m", 3, ["Y"])
    assert (data, size_bytes) == ([], 0)


def test_an_unknown_output_is_named() -> None:
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name="NOPE")]
    assert fault(request(outputs=outputs)) == "unexpected inference output 'NOPE' for model 'm'"


# ---- raw contents --------------------------------------------------------------------------------------------------


def test_raw_contents_belong_to_the_inputs_in_order_and_get_aligned_places() -> None:
    message = request(tensor("A"), tensor("B", "INT8", (65,)), tensor("C"), raw=(b"a" * 8, b"b" * 65, b"c" * 8))
    parsed, data, size_bytes = parse(SPEC, message)
    assert data == [b"a" * 8, b"b" * 65, b"c" * 8]
    assert [(each.name, each.size_bytes, each.start) for each in parsed.inputs] == [
        ("A", 8, 0),
        ("B", 65, 64),
        ("C", 8, 192),
    ]
    assert size_bytes == 256


def test_parameters_come_before_data_and_data_before_outputs() -> None:
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name="NOPE")]
    outputs[0].parameters["classification"].bool_param = True
    message = request(tensor(), outputs=outputs)
    message.parameters["timeout"].bool_param = True
    assert fault(message) == "invalid value type for 'timeout' parameter, expected int64_param."
    del message.parameters["timeout"]
    assert fault(message) == "unable to find data for input tensor 'A' for model 'm' in request."
    message.raw_input_contents.append(b"a" * 8)
    assert fault(message) == "invalid value type for 'classification' parameter, expected int64_param"
    message.outputs[0].parameters["classification"].int64_param = 1
    assert fault(message) == "unexpected inference output 'NOPE' for model 'm'"


def test_outputs_may_be_wanted_as_classes() -> None:
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name="Y")]
    outputs[0].parameters["classification"].int64_param = 3
    assert parse(SPEC, request(outputs=outputs))[0].classification == {"Y": 3}


def test_surplus_raw_contents_are_ignored() -> None:
    assert parse(SPEC, request(tensor(), raw=(b"a" * 8, b"surplus")))[1] == [b"a" * 8]


def test_an_input_without_any_data_is_named() -> None:
    text = "unable to find data for input tensor 'B' for model 'm' in request."
    assert fault(request(tensor("A"), tensor("B"), raw=(b"a" * 8,))) == text
    assert fault(request(tensor("B"))) == text


def test_an_empty_raw_entry_is_data_of_no_bytes() -> None:
    assert parse(SPEC, request(tensor(shape=(0,)), raw=(b"",)))[1] == [b""]


def test_typed_and_raw_contents_together_are_refused() -> None:
    assert fault(request(tensor(fp32_contents=[1.0, 2.0]), raw=(b"a" * 8,))) == (
        "contents field must not be specified when using raw_input_contents for 'A' for model 'm'"
    )


# ---- typed contents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", list(FIELDS))
def test_each_datatype_has_its_field(datatype: str) -> None:
    values: list[Any] = [b"x", b""] if datatype == "BYTES" else [True, False] if datatype == "BOOL" else [3, 0]
    parsed, [data], _ = parse(SPEC, request(typed(datatype, FIELDS[datatype], values)))
    assert parsed.inputs[0].size_bytes == len(data)
    if datatype == "BYTES":
        assert decode_bytes(data, (2,)).tolist() == values
    else:
        assert len(data) == 2 * ELEMENT_BYTES[datatype]
        assert np.frombuffer(data, NUMPY[datatype]).tolist() == values


@pytest.mark.parametrize("datatype", [*FIELDS, "FP16", "BF16", "FP33", ""])
def test_any_other_field_is_refused_with_what_came_and_what_was_expected(datatype: str) -> None:
    names = {"bool_contents": "BOOL", "int_contents": "INT32", "int64_contents": "INT64", "uint_contents": "UINT32"}
    names |= {"uint64_contents": "UINT64", "fp32_contents": "FP32", "fp64_contents": "FP64", "bytes_contents": "BYTES"}
    for field, came in names.items():
        if FIELDS.get(datatype) == field:
            continue
        value = b"x" if came == "BYTES" else 1
        assert fault(request(typed(datatype, field, [value]))) == (
            f"unexpected explicit tensor data for input tensor 'A' for model 'm' of type '{came}', expected datatype "
            f"'{datatype if datatype in ELEMENT_BYTES else '<invalid>'}'"
        )


def test_two_fields_are_refused() -> None:
    assert fault(request(tensor(fp32_contents=[1.0], fp64_contents=[1.0]))).endswith(
        "binary data was already supplied."
    )


def test_an_empty_contents_message_is_data_of_no_bytes() -> None:
    empty = tensor(shape=(0,))
    empty.contents.SetInParent()
    assert parse(SPEC, request(empty))[1] == [b""]


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("UINT64", [1, 2**64 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("UINT32", [2**32 - 1, 0]),
        ("INT32", [-(2**31), 2**31 - 1]),
    ],
)
def test_the_extremes_of_integers_keep_every_bit(datatype: str, values: list[int]) -> None:
    [data] = parse(SPEC, request(typed(datatype, FIELDS[datatype], values)))[1]
    assert np.frombuffer(data, NUMPY[datatype]).tolist() == values


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_floats_keep_nan_and_infinity(datatype: str) -> None:
    values = [float("nan"), float("inf"), float("-inf"), -0.0]
    [data] = parse(SPEC, request(typed(datatype, FIELDS[datatype], values)))[1]
    assert str(np.frombuffer(data, NUMPY[datatype]).tolist()) == str(values)


@given(st.binary(max_size=80))
def test_whatever_message_comes_nothing_but_a_tis_error_is_raised(data: bytes) -> None:
    try:
        message = pb.ModelInferRequest.FromString(data)
    except Exception:  # noqa: BLE001 - not a message at all: not this function's business
        return
    try:
        parsed, pieces, size_bytes = parse(SPEC, message)
    except TisError:
        return
    assert len(parsed.inputs) == len(pieces)
    assert all(each.start + each.size_bytes <= size_bytes for each in parsed.inputs)
