"""HTTP as a wire: persistent connections, pipelining, bodies in pieces, old clients."""

import json
from typing import Final

import numpy as np
import pytest

from tests.harness.raw_http import (
    HEADER_LENGTH,
    Body,
    Connection,
    Response,
    binary_body,
    infer_post,
    json_body,
    json_input,
    post,
)
from tests.harness.server import Server

_PATH: Final = "/v2/models/echo/infer"


def echo_body(*values: float) -> Body:
    return binary_body({"INPUT0": np.array(values, np.float32)})


def echoed(answer: Response) -> list[float]:
    """The values in an answer with binary data."""
    assert answer.status == 200, answer
    head_bytes = int(answer.headers[HEADER_LENGTH.lower()])
    (output,) = answer.json()["outputs"]
    blob = answer.body[head_bytes:]
    assert output["parameters"] == {"binary_data_size": len(blob)}
    values: list[float] = np.frombuffer(blob, np.float32).tolist()
    return values


def chunked(data: bytes, piece_bytes: int) -> bytes:
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_connection_serves_many_requests(server: Server) -> None:
    with Connection(server) as connection:
        for value in range(100):
            assert echoed(connection.call(infer_post("echo", echo_body(value)))) == [value]


def test_infer_calls_and_other_calls_share_a_connection(server: Server) -> None:
    with Connection(server) as connection:
        for value in range(10):
            assert connection.call(b"GET /v2/health/ready HTTP/1.1\r\nHost: t\r\n\r\n").status == 200
            assert echoed(connection.call(infer_post("echo", echo_body(value)))) == [value]


def test_pipelined_calls_are_answered_in_order(server: Server) -> None:
    get = b"GET /v2/models/echo HTTP/1.1\r\nHost: t\r\n\r\n"
    with Connection(server) as connection:
        connection.send(b"".join(infer_post("echo", echo_body(value)) + get for value in range(50)))
        for value in range(50):
            assert echoed(connection.response()) == [value]
            assert connection.response().json()["name"] == "echo"


def test_a_refused_call_among_pipelined_ones_is_answered_at_its_place(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(
            infer_post("echo", echo_body(1)) + infer_post("nobody", echo_body(2)) + infer_post("echo", echo_body(3))
        )
        assert echoed(connection.response()) == [1]
        assert connection.response().status == 404
        assert echoed(connection.response()) == [3]


def test_large_pipelined_answers_stay_whole_for_a_slow_reader(server: Server) -> None:
    sent = [np.full(200_000, value, np.float32) for value in range(8)]
    with Connection(server, receive_buffer_bytes=8192) as connection:
        connection.send(b"".join(infer_post("echo", binary_body({"INPUT0": array})) for array in sent))
        for array in sent:
            assert echoed(connection.response()) == array.tolist()


def test_a_body_may_come_one_byte_at_a_time(server: Server) -> None:
    with Connection(server) as connection:
        for byte in infer_post("echo", echo_body(1, 2, 3)):
            connection.send(bytes([byte]))
        assert echoed(connection.response()) == [1, 2, 3]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_body_may_be_cut_anywhere_around_the_end_of_its_json(server: Server, cut: int) -> None:
    body = echo_body(1, 2)
    data = infer_post("echo", body)
    position = len(data) - len(body.data) + (body.header_length or 0) - 6 + cut
    with Connection(server) as connection:
        connection.send(data[:position])
        connection.send(data[position:])
        assert echoed(connection.response()) == [1, 2]


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1 << 20])
def test_a_body_may_be_chunked(server: Server, piece_bytes: int) -> None:
    body = echo_body(*range(20))
    headers = {"Transfer-Encoding": "chunked", HEADER_LENGTH: str(body.header_length)}
    with Connection(server) as connection:
        for _ in range(2):
            answer = connection.call(post(_PATH, headers, chunked(body.data, piece_bytes)))
            assert echoed(answer) == list(range(20))


def test_a_json_body_may_be_chunked(server: Server) -> None:
    body = json_body({"inputs": [json_input("INPUT0", "FP32", [3], [1, 2, 3])]})
    with Connection(server) as connection:
        answer = connection.call(post(_PATH, {"Transfer-Encoding": "chunked"}, chunked(body.data, 10)))
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0, 3.0]


def test_a_client_may_ask_before_it_sends_the_body(server: Server) -> None:
    body = echo_body(4, 5)
    with Connection(server) as connection:
        interim = connection.call(post(_PATH, body.headers | {"Expect": "100-continue"}))
        assert interim.status == 100
        assert echoed(connection.call(body.data)) == [4, 5]


def test_a_client_of_http_1_0_is_answered_and_disconnected(server: Server) -> None:
    body = echo_body(6)
    with Connection(server) as connection:
        assert echoed(connection.call(post(_PATH, body.headers, body.data, version="1.0"))) == [6]
        assert connection.closed_by_server()


def test_a_client_that_says_close_is_answered_and_disconnected(server: Server) -> None:
    with Connection(server) as connection:
        answer = connection.call(infer_post("echo", echo_body(7), Connection="close"))
        assert echoed(answer) == [7]
        assert answer.headers["connection"] == "close"
        assert connection.closed_by_server()


def test_header_names_are_of_any_case(server: Server) -> None:
    body = echo_body(8)
    headers = {"content-LENGTH": str(len(body.data)), HEADER_LENGTH.upper(): str(body.header_length)}
    with Connection(server) as connection:
        assert echoed(connection.call(post(_PATH, headers, body.data))) == [8]


def test_a_query_behind_the_path_is_ignored(server: Server) -> None:
    body = echo_body(9)
    with Connection(server) as connection:
        assert echoed(connection.call(post(_PATH + "?key=value", body.headers, body.data))) == [9]


def test_raw_binary_gives_the_only_input_without_json(server: Server) -> None:
    sent = np.arange(5, dtype=np.float32).tobytes()
    with Connection(server) as connection:
        answer = connection.call(post(_PATH, Body(sent, 0).headers, sent))
    assert echoed(answer) == [0, 1, 2, 3, 4]


def test_an_answer_is_compact_json_in_tritons_order(server: Server) -> None:
    body = json_body({"id": "x", "inputs": [json_input("INPUT0", "FP32", [2], [1, 8.1])]})
    with Connection(server) as connection:
        answer = connection.call(infer_post("echo", body))
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == (
        b'{"id":"x","model_name":"echo","model_version":"1",'
        b'"outputs":[{"name":"OUTPUT0","datatype":"FP32","shape":[2],"data":[1.0,8.100000381469727]}]}'
    )


def test_json_and_binary_inputs_and_outputs_mix(server: Server) -> None:
    ones = np.ones((1, 16), np.int32).tobytes()
    head = json.dumps(
        {
            "inputs": [
                json_input("INPUT0", "INT32", [1, 16], list(range(16))),
                {
                    "name": "INPUT1",
                    "datatype": "INT32",
                    "shape": [1, 16],
                    "parameters": {"binary_data_size": len(ones)},
                },
            ],
            "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
        }
    ).encode()
    with Connection(server) as connection:
        answer = connection.call(infer_post("simple", Body(head + ones, len(head))))
    by_name = {output["name"]: output for output in answer.json()["outputs"]}
    assert by_name["OUTPUT0"]["parameters"] == {"binary_data_size": 64}
    assert by_name["OUTPUT1"]["data"] == list(range(-1, 15))
    assert answer.body.endswith(np.arange(1, 17, dtype=np.int32).tobytes())
