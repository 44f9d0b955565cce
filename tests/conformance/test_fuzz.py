"""Broken infer requests by the hundred: each gets a well-formed answer, nothing dies, nothing stays in the pool.

`TIS_FUZZ_EXAMPLES` sets how many of each kind are sent; the default is for every run of the tests.
"""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tests.conformance.case import HEADER_LENGTH, bytes_element, dump, grpc_request, plain, tensor
from tests.conformance.repository import write_repository
from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.raw_http import Connection, post
from tests.harness.server import Server, serving

_EXAMPLES: Final = int(os.environ.get("TIS_FUZZ_EXAMPLES", "150"))
_MODELS: Final = ("simple", "mixed", "strings", "id_fp32")
_ROW: Final = struct.pack("<16i", *range(16))
_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_STREAM: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
_DEADLINE_S: Final = 10.0
_STATUSES: Final = {200, 400, 404, 500, 501}

_fuzz = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    database=None,
)

#: Good requests: model, JSON and binary tail.
_HTTP: Final[list[tuple[str, dict[str, Any], bytes]]] = [
    ("simple", {
        "id": "a", "parameters": {"binary_data_output": True, "x": 1},
        "inputs": [tensor(name, "INT32", [1, 16], binary_data_size=64) for name in ("INPUT0", "INPUT1")],
        "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
    }, _ROW * 2),
    ("mixed", {"inputs": [
        tensor("INPUT0", "FP32", [2], [0.5, 2]), tensor("INPUT1", "BYTES", [2], binary_data_size=11),
        tensor("INPUT2", "INT64", [1], [7]), tensor("INPUT3", "BOOL", [1], [True])]}, bytes_element(b"ab", b"c")),
    ("strings", {"inputs": [tensor("INPUT0", "BYTES", [2, 1], ["a", "é"])]}, b""),
    ("id_fp32", {"inputs": [tensor("INPUT0", "FP32", [3], [1, 2, 3])],
                 "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}]}, b""),
]  # fmt: skip
_GRPC: Final = [
    grpc_request("simple", [
        {"name": "INPUT0", "datatype": "INT32", "shape": [1, 16]}, {"name": "INPUT1", "datatype": "INT32", "shape": [1, 16]}
    ], [_ROW, _ROW], id="7", parameters={"x": {"string_param": "y"}}, outputs=[{"name": "OUTPUT1"}]),
    grpc_request("strings", [
        {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 2], "contents": {"bytes_contents": [b"a", b"bc"]}}]),
    grpc_request("id_fp32", [{"name": "INPUT0", "datatype": "FP32", "shape": [3]}], [bytes(12)]),
]  # fmt: skip

_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 20)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["INPUT0", "OUTPUT0", "FP32", "BYTES", "INT32", "shared_memory_region", ""])
)
_VALUES: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has to live through all of this."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    repository = write_repository(folder / "models", _MODELS, reference=False)
    server = Server(repository, "--log-verbose=1", log=folder / "log")
    with serving(server):
        processes = sorted(server.processes())
        yield server
        assert sorted(server.processes()) == processes
        assert not deaths(server)
        wait_pool_empty(server)


def _good_request_works(server: Server) -> None:
    model, document, tail = _HTTP[0]
    head = dump(document)
    headers = {HEADER_LENGTH: str(len(head)), "Content-Length": str(len(head + tail))}
    with Connection(server) as connection:
        answer = connection.call(post(f"/v2/models/{model}/infer", headers, head + tail))
    assert answer.status == 200, answer
    assert answer.body.endswith(struct.pack("<16i", *(2 * each for each in range(16))))


# ---- mutations ---------------------------------------------------------------------------------------------------------


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it and under which key."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        found += [(value, key), *_places(each)]
    return found


@st.composite
def _documents(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """A good request with some of its JSON's values changed, doubled or taken away."""
    model, document, tail = draw(st.sampled_from(_HTTP))
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["change", "change", "remove", "double"])):
            case "change":
                holder[key] = draw(_VALUES)
            case "remove":
                del holder[key]
            case _ if isinstance(holder, list):
                holder.append(holder[key])
            case _:
                holder[draw(st.text(max_size=3))] = holder[key]
    return model, dump_any(document), draw(_cut(tail))


def dump_any(document: Any) -> bytes:
    """A document as JSON, lone surrogates included."""
    return json.dumps(document).encode()


@st.composite
def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes as they are, or with a piece replaced."""
    if draw(st.booleans()):
        return data
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, len(data)))
    return data[:start] + draw(st.binary(max_size=8)) + data[end:]


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[str, bytes, bytes]:
    """A good request with some of its bytes changed."""
    model, document, tail = draw(st.sampled_from(_HTTP))
    return model, draw(_cut(dump(document))), draw(_cut(tail))


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A good request message with some bytes, or some values, changed."""
    fields = json.loads(json.dumps(plain(draw(st.sampled_from(_GRPC)))))
    places = [place for place in _places(fields) if isinstance(place[0][place[1]], str | int | list)]
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(places))
        old = holder.get(key) if isinstance(holder, dict) else holder[min(key, len(holder) - 1)]
        new: Any = draw(st.text("abINPUTO01 é", max_size=8))
        if isinstance(old, int):
            new = draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 20))
        elif isinstance(old, list):
            new = old + old if draw(st.booleans()) else []
        if isinstance(holder, dict) and key in holder:
            holder[key] = new
    try:
        message = json_format.ParseDict(fields, pb.ModelInferRequest())
    except json_format.ParseError:
        message = json_format.ParseDict(plain(_GRPC[0]), pb.ModelInferRequest())
    return draw(_cut(message.SerializeToString()))


# ---- promises ----------------------------------------------------------------------------------------------------------


@_fuzz
@given(request=_documents() | _bodies(), announced=st.none() | st.integers(0, 400))
def test_every_broken_http_request_is_answered(
    fuzzed: Server, request: tuple[str, bytes, bytes], announced: int | None
) -> None:
    model, head, tail = request
    body = head + tail
    length = len(head) if announced is None else announced
    with Connection(fuzzed) as connection:
        answer = connection.call(
            post(f"/v2/models/{model}/infer", {"Content-Length": str(len(body)), HEADER_LENGTH: str(length)}, body)
        )
    assert answer.status in _STATUSES
    if answer.status == 200:
        assert answer.json()["model_name"] == model
    else:
        assert answer.error


@_fuzz
@given(data=_messages())
def test_every_broken_grpc_request_is_answered(fuzzed: Server, data: bytes) -> None:
    with grpc.insecure_channel(fuzzed.grpc_address) as channel:
        call = channel.unary_unary(_INFER, None, None)
        try:
            pb.ModelInferResponse.FromString(call(data, timeout=_DEADLINE_S))
        except grpc.RpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED"), error  # noqa: PT017
            assert error.details()  # noqa: PT017


@_fuzz
@given(data=st.lists(_messages(), min_size=1, max_size=4))
def test_a_stream_of_broken_grpc_requests_ends(fuzzed: Server, data: list[bytes]) -> None:
    with grpc.insecure_channel(fuzzed.grpc_address) as channel:
        call = channel.stream_stream(_STREAM, None, None)
        try:
            for response in call(iter(data), timeout=_DEADLINE_S):
                pb.ModelStreamInferResponse.FromString(response)
        except grpc.RpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "INTERNAL"), error  # noqa: PT017


def test_a_good_request_works_after_all_that(fuzzed: Server) -> None:
    _good_request_works(fuzzed)
    wait_pool_empty(fuzzed)
