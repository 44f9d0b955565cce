"""What a case is: requests, the server that they go to, and what of the answers may differ."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HEADER_LENGTH: Final = "Inference-Header-Content-Length"

#: Stands in requests and recorded answers for what makes the names of shared memory unique on a machine.
SHM_PREFIX: Final = "conformance"

#: Parts of answers that may differ: a pattern and what takes the place of each match, by name.
MASKS: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "backend": (re.compile(r'"(platform|backend|default_model_filename)": ?"[^"]*"'), r'"\1":"*"'),
    "durations": (re.compile(r'"ns": ?"?\d+"?'), r'"ns":"*"'),
    "last inference": (re.compile(r'"last_inference": ?"?[1-9]\d*"?'), r'"last_inference":"*"'),
    "message of the model": (re.compile(r'("(?:error|details)": ?")[^"]*"'), r'\1*"'),
    "message of the model in a stream": (re.compile(r'("error_message": ?")[^"]*"'), r'\1*"'),
    "folder of the models": (re.compile(r'/[^\s"(]*/(?=\w+/\d+/model\.py)'), "/"),
    "utilities": (re.compile(r"  /[^\s\"(]*/triton_python_backend_utils\.py\(\d+\): \w+(?:\\+n)"), ""),
    "headers": (re.compile(r'"headers": ?\{[^}]*\}'), '"headers":"*"'),
    "content type": (re.compile(r'"content-type": ?"[^"]*"'), '"content-type":"*"'),
}


@dataclass(frozen=True)
class Http:
    """An HTTP request."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    #: The answer is ready only some moments after the one before (statistics): it is asked for until it is as recorded.
    settles: bool = False


@dataclass(frozen=True)
class Grpc:
    """A call of GRPCInferenceService: the fields of its request message, or bytes that are no such message."""

    method: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    settles: bool = False


@dataclass(frozen=True)
class GrpcStream:
    """ModelStreamInfer: each request is sent once the answer to the one before is there."""

    requests: tuple[Mapping[str, Any], ...]
    metadata: tuple[tuple[str, str], ...] = ()
    settles: bool = False
    #: Send all requests without waiting for any answer: they may get none, or several.
    at_once: bool = False


@dataclass(frozen=True)
class ShmRead:
    """What stands in one of the case's regions of shared memory."""

    region: str
    offset: int
    size: int
    settles: bool = False


Step = Http | Grpc | GrpcStream | ShmRead


@dataclass(frozen=True)
class Case:
    """Requests in a row. A case leaves the server as it found it."""

    name: str
    steps: tuple[Step, ...]
    masks: tuple[str, ...] = ()
    server: str = "main"
    #: Shared memory that the client makes: contents by name.
    regions: Mapping[str, bytes] = field(default_factory=dict)


def case(name: str, *steps: Step, masks: Sequence[str] = (), server: str = "main", **more: Any) -> Case:
    """A case of these steps."""
    return Case(name, steps, tuple(masks), server, **more)


def masked(answers: Sequence[Mapping[str, Any]], masks: Sequence[str]) -> list[str]:
    """The answers as text, without what may differ."""
    texts = [json.dumps(answer, ensure_ascii=False, sort_keys=True) for answer in answers]
    for name in masks:
        pattern, instead = MASKS[name]
        # Bodies are strings in the answer's JSON, so that their quotes are escaped there.
        texts = [pattern.sub(instead, text.replace('\\"', '"')) for text in texts]
    return texts


# ---- requests ----------------------------------------------------------------------------------------------------------


def get(path: str, **headers: str) -> Http:
    """A GET."""
    return Http("GET", path, _headers(headers))


def post(path: str, body: Any = b"", **headers: str) -> Http:
    """A POST; a body that is not bytes is sent as JSON."""
    return Http("POST", path, _headers(headers), body if isinstance(body, bytes) else dump(body))


def infer(model: str, document: Any, *, version: str = "", **headers: str) -> Http:
    """An infer call whose body is JSON and nothing else; bytes are sent as they are."""
    return post(_infer_path(model, version), document, **headers)


def infer_binary(
    model: str, document: Any, tail: bytes, *, length: str | None = None, version: str = "", **headers: str
) -> Http:
    """An infer call with binary tensors behind its JSON; `length` in place of the true length of the JSON."""
    head = document if isinstance(document, bytes) else dump(document)
    given = _headers(headers)
    true_length = (HEADER_LENGTH, str(len(head)) if length is None else length)
    return Http("POST", _infer_path(model, version), (*given, true_length), head + tail)


def tensor(name: str, datatype: str, shape: Sequence[Any], data: Any = None, **parameters: Any) -> dict[str, Any]:
    """An input in JSON: with `data`, with parameters, or with both."""
    entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
    if parameters:
        entry["parameters"] = parameters
    if data is not None:
        entry["data"] = data
    return entry


def dump(document: Any) -> bytes:
    """A document as compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def grpc_infer(
    model: str,
    inputs: Sequence[Mapping[str, Any]],
    raw: Sequence[bytes] = (),
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    **fields: Any,
) -> Grpc:
    """ModelInfer."""
    return Grpc("ModelInfer", grpc_request(model, inputs, raw, **fields), metadata=metadata)


def grpc_request(
    model: str, inputs: Sequence[Mapping[str, Any]], raw: Sequence[bytes] = (), **fields: Any
) -> dict[str, Any]:
    """The fields of a ModelInferRequest."""
    request = {"model_name": model, "inputs": list(inputs), **fields}
    return request | {"raw_input_contents": list(raw)} if raw else request


def bytes_element(*elements: bytes) -> bytes:
    """Elements of a BYTES tensor as they travel."""
    return b"".join(len(each).to_bytes(4, "little") + each for each in elements)


def plain(value: Any) -> Any:
    """Bytes anywhere in a value as base64, as protobuf's JSON has them."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _infer_path(model: str, version: str) -> str:
    return f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"


def _headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())
