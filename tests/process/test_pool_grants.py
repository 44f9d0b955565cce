"""The pool is for everybody: what one model needed for a moment, another may have later."""

import http.client
import json
import re
import signal
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.python_models import PythonModel
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

_POOL_BYTES = 32 << 20
#: Of an answer that takes all that the pool has for answers.
_ELEMENTS = 3 << 20


@pytest.fixture
def server(new_server: StartServer, tmp_path: Path) -> Server:
    for name in ("one", "other"):
        identity("FP32", [-1]).write(tmp_path / "models", name, extra=one_cpu())
    return new_server(tmp_path / "models", f"--pool-byte-size={_POOL_BYTES}").start()


def ask(server: Server, model: str, elements: int) -> Response:
    with Connection(server) as connection:
        return connection.call(infer_post(model, binary_body({"INPUT0": np.full(elements, 3, np.float32)})))


def has_room(server: Server, model: str, elements: int) -> None:
    eventually(lambda: ask(server, model, elements).status == 200, f"{elements} elements of '{model}' have room")


def test_what_a_model_has_needed_of_the_pool_is_there_for_others_later(server: Server) -> None:
    for model in ("one", "other", "one"):
        has_room(server, model, _ELEMENTS)
    refused = ask(server, "other", _ELEMENTS)
    assert refused.status == 503
    assert "the shared-memory pool has no room for" in refused.error
    has_room(server, "other", 1)


#: Begins when the file `go` lies beside its config, and tells how many responses it has sent.
MANY: Final = PythonModel(
    """
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.go = os.path.join(args["model_repository"], "go")

    def execute(self, requests):
        for request in requests:
            count, size = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().tolist()
            text = np.array([b"7" * size], object)
            sender = request.get_response_sender()
            print("begun", flush=True)
            while not os.path.exists(self.go):
                time.sleep(0.001)
            for number in range(count):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", text)]))
                print("sent", number + 1, flush=True)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
""",
    """
    input [ { name: "IN" data_type: TYPE_INT32 dims: [ 2 ] } ]
    output [ { name: "OUT" data_type: TYPE_STRING dims: [ 1 ] } ]
    model_transaction_policy { decoupled: true }
    """,
)


def sent(server: Server) -> int:
    return int(max(re.findall(r"sent (\d+)", server.log()), key=int, default=0))


def stands_still(server: Server) -> bool:
    """Responses have been sent, and none within half a second."""
    before = sent(server)
    end_s = time.monotonic() + 0.5
    eventually(lambda: time.monotonic() > end_s, "half a second has passed")
    return 0 < sent(server) == before


def test_a_model_that_responds_faster_than_it_is_read_waits_for_room(new_server: StartServer, tmp_path: Path) -> None:
    model = MANY.write(tmp_path / "models", "many")
    server = new_server(tmp_path / "models", f"--pool-byte-size={_POOL_BYTES}").start()
    (frontend,) = server.frontends()
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=60)
    connection.request("POST", "/v2/models/many/generate_stream", json.dumps({"IN": [100, 1 << 20]}))
    server.wait_for_log("begun")
    frontend.kill(signal.SIGSTOP)
    (model / "go").touch()
    eventually(lambda: stands_still(server), "the pool is full")
    assert sent(server) < 100
    frontend.kill(signal.SIGCONT)
    events = [line for line in connection.getresponse() if line.startswith(b"data: ")]
    assert len(events) == 100
    assert all(len(event) > 1 << 20 for event in events)
    connection.close()
    wait_pool_empty(server)
