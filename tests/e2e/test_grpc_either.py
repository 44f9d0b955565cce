"""The two transports of gRPC side by side: the same calls get the same answers, statuses and, where we choose it, texts.

All of the gRPC tests run on grpcio with `TIS_TEST_GRPC_SERVER=grpcio`; these few do so always.
"""

from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.repository import one_cpu

_SERVICE: Final = "/inference.GRPCInferenceService/"
_OPTIONS: Final = [("grpc.max_receive_message_length", -1)]


def message(model: str = "echo", size: int = 16, identifier: str = "") -> bytes:
    request = pb.ModelInferRequest(model_name=model, id=identifier)
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[size])
    request.raw_input_contents.append(np.arange(size, dtype=np.float32).tobytes())
    data: bytes = request.SerializeToString()
    return data


def unary(channel: Any, method: str, data: bytes, **options: Any) -> tuple[str, str | bytes]:
    try:
        return "OK", channel.unary_unary(method)(data, timeout=30, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()


def streamed(channel: Any, *messages: bytes) -> list[str | bytes]:
    answers: list[str | bytes] = []
    try:
        answers += channel.stream_stream(_SERVICE + "ModelStreamInfer")(iter(messages), timeout=30)
    except grpc.RpcError as error:
        answers.append(error.code().name)
    return answers


def answers_of(address: str) -> dict[str, Any]:
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        infer = _SERVICE + "ModelInfer"
        return {
            "small": unary(channel, infer, message(identifier="7")),
            "large": unary(channel, infer, message(size=1_000_000)),
            "compressed": unary(channel, infer, message(size=50_000), compression=grpc.Compression.Gzip),
            "no such model": unary(channel, infer, message("nothing")),
            "no message": unary(channel, infer, b"\xff\xff\xff"),
            "no large message": unary(channel, infer, b"\xff" * 100_000),
            "an empty message": unary(channel, infer, b""),
            "another shape": unary(channel, infer, message(size=100_000)[:-4]),
            "no such method": unary(channel, _SERVICE + "Nothing", b""),
            "no such service": unary(channel, "/a/b", b""),
            "no path": unary(channel, "/", b""),
            "health": unary(channel, "/grpc.health.v1.Health/Check", b""),
            "config": unary(channel, _SERVICE + "ModelConfig", pb.ModelConfigRequest(name="echo").SerializeToString()),
            "a stream": streamed(channel, message(identifier="1"), message("nothing"), message(size=200_000)),
            "a stream of nothing": streamed(channel),
            "a stream of nonsense": streamed(channel, message(), b"\xff\xff\xff"),
        }


def test_both_transports_give_the_same_answers(new_server: StartServer, tmp_path: Path) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    found: dict[str, dict[str, Any]] = {}
    for transport in ("native", "grpcio"):
        server = new_server(tmp_path / "models", f"--grpc-server={transport}").start()
        server.wait_ready()
        found[transport] = answers_of(server.grpc_address)
    assert found["native"]["small"][0] == found["native"]["large"][0] == "OK"
    for case, answer in found["grpcio"].items():
        assert found["native"][case] == answer, case
