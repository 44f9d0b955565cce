"""Clients of decoupled models that do not read: memory and pool stay bounded, others are served, and they are told."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import anonymous_bytes
from tests.harness.python_models import PythonModel
from tests.harness.raw_http import Connection, json_body, post
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tis_frontend.backlog import MOST_BYTES

_MIB: Final = 1 << 20
_STREAM: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
#: More than may wait by far.
_RESPONSES: Final = 2000
_RESPONSE_BYTES: Final = _MIB
_GIVEN_UP: Final = "a stream is given up"

MANY: Final = PythonModel(
    """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count, size = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().tolist()
            text = np.array([b"7" * size], object)
            sender = request.get_response_sender()
            for number in range(count):
                if request.is_cancelled():
                    print("cancelled after", number, "of", count)
                    break
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", text)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
""",
    """
    input [ { name: "IN" data_type: TYPE_INT32 dims: [ 2 ] } ]
    output [ { name: "OUT" data_type: TYPE_STRING dims: [ 1 ] } ]
    model_transaction_policy { decoupled: true }
    """,
)


@pytest.fixture
def many_server(new_server: StartServer, tmp_path: Path) -> Callable[..., Server]:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    MANY.write(tmp_path / "models", "many")
    return lambda *flags: new_server(tmp_path / "models", "--pool-byte-size=134217728", *flags).start()


@contextlib.contextmanager
def others_are_served(server: Server) -> Iterator[None]:
    """Another client is answered all the while, and the frontend's own memory stays within what may wait."""
    stop = threading.Event()
    wrong: list[object] = []
    (frontend,) = server.frontends()
    before_bytes = most_bytes = anonymous_bytes(frontend.pid)
    call = Call("echo", {"INPUT0": np.arange(8, dtype=np.float32)})

    def ask() -> None:
        nonlocal most_bytes
        with contextlib.closing(HttpFace(server)) as face:
            while not stop.is_set():
                began_s = time.monotonic()
                try:
                    assert face.infer(call).outputs["OUTPUT0"].tolist() == list(range(8))
                except Exception as error:  # noqa: BLE001 - told by the test
                    wrong.append(error)
                if time.monotonic() - began_s > 5.0:
                    wrong.append("an answer has taken more than 5 s")
                most_bytes = max(most_bytes, anonymous_bytes(frontend.pid))
                stop.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        stop.set()
        asking.join(30)
    assert not wrong
    grown = most_bytes - before_bytes
    assert grown < MOST_BYTES + 160 * _MIB, f"the frontend has grown by {grown / _MIB:.0f} MiB"


def asked(count: int, size_bytes: int) -> Any:
    request = pb.ModelInferRequest(model_name="many")
    request.inputs.add(name="IN", datatype="INT32", shape=[2])
    request.raw_input_contents.append(np.array([count, size_bytes], "<i4").tobytes())
    return request


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_a_grpc_stream_that_is_not_read_is_given_up(many_server: Callable[..., Server], transport: str) -> None:
    server = many_server(f"--grpc-server={transport}")
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with grpc.insecure_channel(server.grpc_address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        responses = channel.stream_stream(
            _STREAM,
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )(iter(requests.get, None))
        with others_are_served(server):
            requests.put(asked(_RESPONSES, _RESPONSE_BYTES))
            server.wait_for_log(_GIVEN_UP)
            # The model has heard of it, and nothing of the pool stays taken, although the client still has not read.
            server.wait_for_log("cancelled after")
            wait_pool_empty(server)
        with pytest.raises(grpc.RpcError) as raised:
            list(responses)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert raised.value.details().startswith("responses are not taken: ")
        requests.put(None)


def test_events_that_are_not_read_are_given_up(many_server: Callable[..., Server]) -> None:
    server = many_server()
    with Connection(server, receive_buffer_bytes=4096) as connection:
        with others_are_served(server):
            body = json_body({"IN": [_RESPONSES, _RESPONSE_BYTES]})
            connection.send(post("/v2/models/many/generate_stream", body.headers, body.data))
            server.wait_for_log(_GIVEN_UP)
            server.wait_for_log("cancelled after")
            wait_pool_empty(server)
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            tail = tail[-4096:] + connection.receive_some()
        assert b'data: {"error":"responses are not taken: ' in tail


def test_a_client_that_reads_gets_all_of_more_than_may_wait(many_server: Callable[..., Server]) -> None:
    server = many_server()
    body = json_body({"IN": [400, _RESPONSE_BYTES]})
    events, last = 0, b""
    # Parsing line by line would be slower than the model.
    with socket.create_connection((HOST, server.http_port), timeout=60) as connection:
        connection.sendall(post("/v2/models/many/generate_stream", body.headers, body.data))
        while not last.endswith(b"0\r\n\r\n"):
            piece = connection.recv(1 << 20)
            assert piece, "the connection ended before the stream"
            # Too short to hold what is counted, and long enough to hold the end.
            last = last[-5:] + piece
            events += last.count(b"data: ")
    assert events == 400
    assert _GIVEN_UP not in server.log()
