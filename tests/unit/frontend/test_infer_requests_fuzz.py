"""Infer requests of any content, with regions: both readers give a request that fits its memory, or a `TisError`."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tis.contracts import messages as m
from tis.contracts.inference import InferRequest
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.plan import make_plan
from tis.errors import TisError
from tis_frontend.grpc.infer_request import parse as parse_grpc
from tis_frontend.http.infer_request import parse as parse_http
from tis_frontend.http.infer_request import planned
from tis_frontend.model_table import ServedModel
from tis_frontend.regions import RegionTable

REGION_BYTES = 100
REGIONS = RegionTable()
REGIONS.replace(m.Regions(1, (m.Region(5, "r", "system", "/r", 0, REGION_BYTES),)))
NUMBERS = st.integers(-3, 110) | st.sampled_from(
    [1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63)]
)
INT64 = st.integers(-3, 110) | st.sampled_from([1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63)])
TYPES = st.sampled_from(["FP32", "BYTES", "INT64", "BOOL", "FP16", "BF16", "x", ""])
NAMES = st.sampled_from(["A", "B", "Y", "", "r", "é\0"])
SPECS = st.builds(
    lambda batch, first, second: ModelSpec(
        "m",
        1,
        "",
        "",
        batch,
        (TensorSpec("A", first, (2,)), TensorSpec("B", second, (-1,))),
        (TensorSpec("Y", "FP32", (2,)),),
    ),
    st.sampled_from([0, 8]),
    st.sampled_from(["FP32", "BYTES", "BF16"]),
    st.sampled_from(["INT64", "BYTES", "BOOL"]),
)

JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | NAMES | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)


def likely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return strategy | strategy | strategy | JSON


OPTIONS = likely(
    st.fixed_dictionaries(
        {},
        optional={
            "binary_data_size": likely(NUMBERS),
            "binary_data": likely(st.booleans()),
            "classification": likely(NUMBERS),
            "shared_memory_region": likely(st.just("r")),
            "shared_memory_offset": likely(NUMBERS),
            "shared_memory_byte_size": likely(NUMBERS),
        },
    )
)
ENTRY = likely(
    st.fixed_dictionaries(
        {"name": likely(NAMES), "datatype": likely(TYPES), "shape": likely(st.lists(NUMBERS, max_size=3))},
        optional={"parameters": OPTIONS, "data": JSON},
    )
)
DOCUMENTS = likely(
    st.fixed_dictionaries(
        {"inputs": likely(st.lists(ENTRY, max_size=3))},
        optional={"id": likely(NAMES), "outputs": likely(st.lists(ENTRY, max_size=2)), "parameters": JSON},
    )
)


def check_places(request: InferRequest, block_bytes: int) -> None:
    """Every tensor lies within the memory that it is said to lie in."""
    for tensor in request.inputs:
        room_bytes = REGION_BYTES if tensor.region else block_bytes
        assert 0 <= tensor.start <= tensor.start + tensor.size_bytes <= room_bytes
    for place in request.placements.values():
        assert 0 <= place.start <= place.start + place.size_bytes <= REGION_BYTES


@settings(max_examples=300)
@given(SPECS, DOCUMENTS, st.integers(0, 130))
def test_whatever_json_comes_tensors_lie_within_their_memory(spec: ModelSpec, document: Any, tail_bytes: int) -> None:
    try:
        call = parse_http(spec, json.dumps(document).encode(errors="surrogatepass"), tail_bytes, REGIONS)
        check_places(call.request, call.block_bytes)
        make_plan(spec, call.request)
    except TisError:
        return


@settings(max_examples=300)
@given(
    SPECS, st.binary(max_size=80) | st.text('{}[]":,0123-eE.inputs\\u', max_size=60).map(str.encode), st.integers(0, 64)
)
def test_whatever_bytes_come_as_json_nothing_but_a_tis_error_is_raised(
    spec: ModelSpec, head: bytes, tail_bytes: int
) -> None:
    try:
        planned(ServedModel(spec, ready=True), head, tail_bytes, REGIONS)
    except TisError:
        return


# ---- messages ----------------------------------------------------------------------------------------------------------


def parameter(kind: str, value: Any) -> Any:
    return pb.InferParameter(**{kind: value})


PARAMETERS = st.dictionaries(
    st.sampled_from([
        *("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification", "priority"),
        *("timeout", "sequence_id", "sequence_start", "triton_x", "binary_data", ""),
    ]),
    st.just(pb.InferParameter())
    | st.builds(parameter, st.just("int64_param"), INT64)
    | st.builds(parameter, st.just("uint64_param"), st.integers(0, (1 << 64) - 1))
    | st.builds(parameter, st.just("string_param"), NAMES)
    | st.builds(parameter, st.just("bool_param"), st.booleans())
    | st.builds(parameter, st.just("double_param"), st.floats()),
    max_size=3,
)  # fmt: skip
PLACED = st.builds(
    lambda start, size_bytes: {
        "shared_memory_region": parameter("string_param", "r"),
        "shared_memory_offset": parameter("int64_param", start),
        "shared_memory_byte_size": parameter("int64_param", size_bytes),
    },
    INT64,
    INT64,
)
CONTENTS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=3),
        "uint64_contents": st.lists(st.integers(0, (1 << 64) - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=5), max_size=3),
    },
)


def with_parameters(message: Any, parameters: Mapping[str, Any]) -> Any:
    for name, value in parameters.items():
        message.parameters[name].CopyFrom(value)
    return message


def tensor(name: str, datatype: str, shape: list[int], parameters: Mapping[str, Any], contents: Any) -> Any:
    made = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents is not None:
        made.contents.SetInParent()
        made.contents.MergeFrom(pb.InferTensorContents(**contents))
    return with_parameters(made, parameters)


def output(name: str, parameters: Mapping[str, Any]) -> Any:
    return with_parameters(pb.ModelInferRequest.InferRequestedOutputTensor(name=name), parameters)


MESSAGES = st.builds(
    lambda inputs, outputs, raw, name, parameters: with_parameters(
        pb.ModelInferRequest(model_name="m", id=name, inputs=inputs, outputs=outputs, raw_input_contents=raw),
        parameters,
    ),
    st.lists(
        st.builds(tensor, NAMES, TYPES, st.lists(INT64, max_size=3), st.just({}) | PARAMETERS | PLACED, CONTENTS),
        max_size=3,
    ),
    st.lists(st.builds(output, NAMES, st.just({}) | PARAMETERS | PLACED), max_size=2),
    st.lists(st.binary(max_size=20) | st.just(struct.pack("<2f", 1, 2)), max_size=3),
    NAMES,
    PARAMETERS,
)


@settings(max_examples=300)
@given(SPECS, MESSAGES)
def test_whatever_message_comes_tensors_lie_within_their_memory(spec: ModelSpec, message: Any) -> None:
    try:
        request, data, block_bytes = parse_grpc(spec, message, REGIONS)
        assert len(data) == len(request.inputs)
        check_places(request, block_bytes)
        make_plan(spec, request)
    except TisError:
        return
