"""Clients of gRPC that are not tritonclient's: what else people have speaks to the server as well."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.harness.observing import wait_pool_empty
from tests.harness.raw_http2 import INFER, LIVE, message
from tests.harness.server import GRPC_SERVER, HOST, Server

pytestmark = pytest.mark.long

_NATIVE: Final = pytest.mark.skipif(GRPC_SERVER != "native", reason="of the server's own transport")

#: Calls the server with nothing but bytes, so that no generated code is needed.
_NODE: Final = """
const grpc = require("@grpc/grpc-js");
const fs = require("fs");
const raw = (value) => value;
const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure(),
  {"grpc.max_receive_message_length": -1});
const message = fs.readFileSync(process.argv[3]);
const path = "/inference.GRPCInferenceService/";
const found = {};
client.makeUnaryRequest(path + "ModelInfer", raw, raw, message, (error, answer) => {
  found.unary = error ? String(error) : answer.toString("base64");
  client.makeUnaryRequest(path + "Nothing", raw, raw, Buffer.alloc(0), (error) => {
    found.unknown = [error.code, error.details];
    const stream = client.makeBidiStreamRequest(path + "ModelStreamInfer", raw, raw);
    found.stream = [];
    stream.on("data", (data) => found.stream.push(data.length));
    stream.on("status", (status) => {
      found.end = status.code;
      console.log(JSON.stringify(found));
      client.close();
    });
    for (let at = 0; at < 20; at++) stream.write(message);
    stream.end();
  });
});
"""


def echo(values: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> bytes:
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=values.shape)
    request.raw_input_contents.append(values.tobytes())
    data: bytes = request.SerializeToString()
    return data


@pytest.mark.parametrize("size", [16, 500_000])
def test_hundreds_of_calls_of_one_channel_and_their_cancellations(server: Server, size: int) -> None:
    calls = 400 if size == 16 else 60
    values = np.arange(size, dtype=np.float32)
    data = echo(values)

    async def run() -> Counter[str]:
        outcomes: Counter[str] = Counter()
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(server.grpc_address, options=options) as channel:
            call = channel.unary_unary(INFER.decode())

            async def one(number: int) -> None:
                running = call(data, timeout=60)
                if number % 3 == 0:
                    await asyncio.sleep(0)
                    running.cancel()
                try:
                    answer = pb.ModelInferResponse.FromString(await running)
                except asyncio.CancelledError:
                    outcomes["cancelled"] += 1
                except grpc.aio.AioRpcError as error:
                    outcomes[f"{error.code().name} {error.details()}"] += 1
                else:
                    outcomes["right" if answer.raw_output_contents[0] == values.tobytes() else "wrong"] += 1

            await asyncio.gather(*(one(number) for number in range(calls)))
        return outcomes

    outcomes = asyncio.run(run())
    assert outcomes["cancelled"] + outcomes["right"] == calls, outcomes
    assert outcomes["right"] >= calls // 2
    wait_pool_empty(server)


def test_grpc_js_is_served(server: Server, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node or npm is not installed")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "@grpc/grpc-js"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"@grpc/grpc-js cannot be installed: {done.stderr[-300:]}")
    (tmp_path / "client.js").write_text(_NODE)
    values = np.arange(1000, dtype=np.float32)
    (tmp_path / "message").write_bytes(echo(values))
    words = [node, str(tmp_path / "client.js"), server.grpc_address, str(tmp_path / "message")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    answer = pb.ModelInferResponse.FromString(base64.b64decode(found["unary"]))
    assert answer.raw_output_contents[0] == values.tobytes()
    assert found["unknown"][0] == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert len(found["stream"]) == 20
    assert found["end"] == 0


def test_h2load_gets_an_answer_to_every_request(server: Server, tmp_path: Path) -> None:
    h2load = shutil.which("h2load")
    if h2load is None:
        pytest.skip("h2load is not installed")
    (tmp_path / "body").write_bytes(message(echo(np.zeros(16, np.float32))))
    done = subprocess.run(
        [
            *(h2load, "-n2000", "-c16", "-m10", "-H", "content-type: application/grpc", "-H", "te: trailers"),
            *("-d", str(tmp_path / "body"), f"http://{server.grpc_address}{INFER.decode()}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_nghttp_sees_the_status_in_the_trailers(server: Server, tmp_path: Path) -> None:
    nghttp = shutil.which("nghttp")
    if nghttp is None:
        pytest.skip("nghttp is not installed")
    (tmp_path / "body").write_bytes(message(b""))
    done = subprocess.run(
        [
            *(nghttp, "-v", "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", ":method: POST"),
            *("-d", str(tmp_path / "body"), f"http://{server.grpc_address}{LIVE.decode()}"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "grpc-status: 0" in done.stdout, done.stdout
    assert "content-type: application/grpc" in done.stdout


@_NATIVE
def test_a_web_client_is_told_that_this_is_for_grpc(server: Server) -> None:
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("curl with HTTP/2 is not installed")
    words = [curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"]
    address = f"http://{HOST}:{server.grpc_port}/v2/health/live"
    done = subprocess.run([*words, "--http2-prior-knowledge", address], capture_output=True, text=True, check=False)
    assert done.stdout == "415"
    # HTTP/1.1 gets a GOAWAY, which curl does not understand, and the end of the connection.
    done = subprocess.run([*words, "--http1.1", address], capture_output=True, text=True, check=False)
    assert done.returncode != 0
