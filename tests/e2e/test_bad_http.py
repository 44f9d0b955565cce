"""HTTP infer calls that are broken as JSON or as bytes: the answer says what is wrong, and the connection goes on."""

import json
from typing import Any, Final

import numpy as np
import pytest

from tests.harness.observing import wait_pool_empty
from tests.harness.raw_http import (
    HEADER_LENGTH,
    Body,
    Connection,
    Response,
    binary_body,
    infer_post,
    json_input,
    post,
)
from tests.harness.server import Server

_GOOD: Final = binary_body({"INPUT0": np.array([1, 2], np.float32)})
_INPUT: Final = json_input("INPUT0", "FP32", [2], [1, 2])
_BINARY: Final = {"name": "INPUT0", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
_PARSE: Final = "failed to parse the request JSON buffer"


def refuse(server: Server, request: bytes) -> Response:
    """The answer to a broken request, after the proof that its connection still serves."""
    with Connection(server) as connection:
        answer = connection.call(request)
        assert connection.call(infer_post("echo", _GOOD)).status == 200
    return answer


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (" ", f"{_PARSE}: The document is empty. at 1"),
        ("{x", f"{_PARSE}: Missing a name for object member. at 1"),
        ('{"inputs":[', f"{_PARSE}: Invalid value. at 11"),
        ("[1]", "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ("\xff\xfe\x00", _PARSE),
        ("[" * 100_000, _PARSE),
        ("{}", "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ('{"inputs":5}', "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ('{"inputs":[{}],"id":{}}', "attempt to access JSON non-string as string"),
        ('{"id":5,"inputs":[]}', "attempt to access JSON non-string as string"),
    ],
    ids=lambda text: text[:20],
)
def test_json_that_is_none_or_of_the_wrong_form_is_a_500(server: Server, text: str, error: str) -> None:
    answer = refuse(server, infer_post("echo", Body(text.encode("latin-1"))))
    assert answer.status == 500
    assert error in answer.error


@pytest.mark.parametrize(
    ("entry", "status", "error"),
    [
        (without(_INPUT, "name"), 500, "attempt to access non-existing object member 'name'"),
        (without(_INPUT, "datatype"), 500, "attempt to access non-existing object member 'datatype'"),
        (without(_INPUT, "shape"), 500, "attempt to access non-existing object member 'shape'"),
        (without(_INPUT, "data"), 400, "Input must set only one of the following fields"),
        (_INPUT | {"parameters": {"binary_data_size": 8}}, 400, "But set 'data' 'binary_data_size'"),
        (_INPUT | {"shape": [-1]}, 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (_INPUT | {"shape": [1.5]}, 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (_INPUT | {"shape": 2}, 500, "attempt to access JSON non-array as array"),
        (_INPUT | {"name": 5}, 500, "attempt to access JSON non-string as string"),
        (_INPUT | {"shape": [1 << 40]}, 500, "Shape does not match true shape of 'data' field"),
        (_BINARY | {"parameters": {"binary_data_size": -1}}, 500, "non-unsigned-integer as unsigned-integer"),
        (_BINARY | {"parameters": {"binary_data_size": "8"}}, 500, "non-unsigned-integer as unsigned-integer"),
    ],
)
def test_an_input_of_the_wrong_form_is_refused(server: Server, entry: dict[str, Any], status: int, error: str) -> None:
    answer = refuse(server, infer_post("echo", Body(json.dumps({"inputs": [entry]}).encode())))
    assert answer.status == status
    assert error in answer.error


@pytest.mark.parametrize("shape", [[1 << 62], [3], [0], [1]])
def test_a_shape_that_its_bytes_do_not_fill_is_refused(server: Server, shape: list[int]) -> None:
    head = json.dumps({"inputs": [_BINARY | {"shape": shape}]}).encode()
    answer = refuse(server, infer_post("echo", Body(head + bytes(8), len(head))))
    assert answer.status == 400
    assert "input byte size mismatch for input 'INPUT0' for model 'echo'. Expected " in answer.error
    assert answer.error.endswith(", got 8")


@pytest.mark.parametrize(
    ("tail_bytes", "error"),
    [
        (0, "unexpected size for input 'INPUT0', expecting 8 additional bytes for model 'echo'"),
        (5, "unexpected size for input 'INPUT0', expecting 3 additional bytes for model 'echo'"),
        (9, "unexpected additional input data for model 'echo'"),
    ],
)
def test_a_tail_of_the_wrong_size_is_refused(server: Server, tail_bytes: int, error: str) -> None:
    head = json.dumps({"inputs": [_BINARY]}).encode()
    answer = refuse(server, infer_post("echo", Body(head + bytes(tail_bytes), len(head))))
    assert answer.status == 400
    assert error in answer.error


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("length", "error"),
    [
        ("9999", "inference header size should be in range (0, 5), got: 9999"),
        ("abc", "Unable to parse Inference-Header-Content-Length, got: abc"),
        ("-1", "Unable to parse Inference-Header-Content-Length, got: -1"),
    ],
)
def test_a_wrong_header_length_is_refused(server: Server, length: str, error: str, chunked: bool) -> None:
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "5"}
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    answer = refuse(server, post("/v2/models/echo/infer", framing | {HEADER_LENGTH: length}, body))
    assert (answer.status, answer.error) == (400, error)


def test_an_empty_body_is_the_only_input_without_a_byte(server: Server) -> None:
    with Connection(server) as connection:
        answer = connection.call(infer_post("echo", Body(b"")))
    assert (answer.status, answer.json()["outputs"][0]["shape"]) == (200, [0])


def test_a_header_length_that_cuts_the_json_is_refused(server: Server) -> None:
    answer = refuse(server, infer_post("echo", Body(_GOOD.data, (_GOOD.header_length or 0) - 3)))
    assert answer.status == 500
    assert _PARSE in answer.error


def test_an_unknown_compression_is_refused_with_what_would_do(server: Server) -> None:
    answer = refuse(server, infer_post("echo", _GOOD, Content_Encoding="br"))
    assert (answer.status, answer.error) == (501, "Unsupported compression type")
    assert answer.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\3\0\0\0abc" * 3, "unexpected number of string elements 3 for inference input 'INPUT0'"),
        (b"\3\0\0\0abc", "expected 2 string elements for inference input 'INPUT0' for model 'strings', got 1"),
        (b"\3\0\0\0abc\xff\xff\xff\xffx", "incomplete string data for inference input 'INPUT0' for model 'strings'"),
        (b"\3\0\0\0abc\1", "incomplete string length indicator for inference input 'INPUT0' for model 'strings'"),
    ],
)
def test_strings_that_do_not_fit_their_lengths_are_refused(server: Server, data: bytes, text: str) -> None:
    entry = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [entry]}).encode()
    answer = refuse(server, infer_post("strings", Body(head + data, len(head))))
    assert answer.status == 400
    assert text in answer.error


def test_strings_that_are_not_utf8_are_refused_by_a_model_that_needs_them(server: Server) -> None:
    element = b"\2\0\0\0\xff\xfe"
    entry = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(element)}}
    head = json.dumps({"inputs": [entry]}).encode()
    answer = refuse(server, infer_post("strings", Body(head + element, len(head))))
    assert answer.status == 400
    assert "input 'INPUT0' holds bytes that are not UTF-8" in answer.error


def test_raw_binary_is_refused_where_the_input_is_not_the_only_one(server: Server) -> None:
    answer = refuse(server, infer_post("simple", Body(bytes(64), 0)))
    assert answer.status == 400
    assert "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'simple'" in answer.error


def test_no_refused_request_keeps_anything_of_the_pool(server: Server) -> None:
    with Connection(server) as connection:
        for size_bytes in (0, 5, 9, 100_000):
            head = json.dumps({"inputs": [_BINARY]}).encode()
            assert connection.call(infer_post("echo", Body(head + bytes(size_bytes), len(head)))).status == 400
            assert connection.call(infer_post("nobody", Body(head + bytes(size_bytes), len(head)))).status == 404
    wait_pool_empty(server)
