"""What the gRPC transport is asked for by flags: encryption, compression, pings, ages, sizes."""

import contextlib
import queue
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.relay import relay_to
from tests.harness.repository import one_cpu
from tests.harness.server import Server

_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_STREAM: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
_TIMEOUT_S: Final = 30.0
#: gRPC's bits for what a client takes.
_IDENTITY: Final = 1
_GZIP: Final = 4
_UNLIMITED: Final = [("grpc.max_receive_message_length", -1)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    identity("FP32", [-1]).write(folder, "echo", extra=one_cpu())
    return folder


def echo_message(values: Any) -> bytes:
    message = service_pb2.ModelInferRequest(model_name="echo")
    message.inputs.add(name="INPUT0", datatype="FP32", shape=values.shape)
    message.raw_input_contents.append(values.tobytes())
    data: bytes = message.SerializeToString()
    return data


def echoes(client: Any, **options: Any) -> bool:
    sent = np.arange(1000, dtype=np.float32)
    tensor = tritonclient.grpc.InferInput("INPUT0", [1000], "FP32")
    tensor.set_data_from_numpy(sent)
    answer = client.infer("echo", [tensor], client_timeout=_TIMEOUT_S, **options)
    return bool((answer.as_numpy("OUTPUT0") == sent).all())


# ---- encryption ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, and of a server and a client that it vouches for."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def make(self) -> "Certificates":
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority"),
            *("-keyout", self.path("authority.key"), "-out", self.path("authority.pem")),
        )
        (self.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        for name in ("server", "client"):
            key, request = self.path(f"{name}.key"), self.path(f"{name}.csr")
            self._openssl(
                *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", request)
            )
            self._openssl(
                *("x509", "-req", "-in", request, "-days", "2", "-CAcreateserial"),
                *("-CA", self.path("authority.pem"), "-CAkey", self.path("authority.key")),
                *("-extfile", self.path("names"), "-out", self.path(f"{name}.pem")),
            )
        return self

    @staticmethod
    def _openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    @property
    def server_flags(self) -> tuple[str, str]:
        return f"--grpc-server-cert={self.path('server.pem')}", f"--grpc-server-key={self.path('server.key')}"

    def client(self, server: Server, *, known: bool = True) -> Any:
        return tritonclient.grpc.InferenceServerClient(
            f"localhost:{server.grpc_port}",
            ssl=True,
            root_certificates=self.path("authority.pem"),
            private_key=self.path("client.key") if known else None,
            certificate_chain=self.path("client.pem") if known else None,
        )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).make()


def test_an_encrypted_server_answers_clients_that_encrypt_and_no_others(
    new_server: StartServer, repository: Path, certificates: Certificates
) -> None:
    server = new_server(repository, "--grpc-use-ssl=true", *certificates.server_flags).start()
    with contextlib.closing(certificates.client(server, known=False)) as client:
        assert echoes(client)
    with contextlib.closing(GrpcFace(server)) as plain, pytest.raises(InferenceServerException) as caught:
        plain.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)}))
    assert str(caught.value.status()) == "StatusCode.UNAVAILABLE"


def test_where_clients_have_to_show_a_certificate_a_stranger_gets_nothing(
    new_server: StartServer, repository: Path, certificates: Certificates
) -> None:
    root = f"--grpc-root-cert={certificates.path('authority.pem')}"
    server = new_server(repository, "--grpc-use-ssl-mutual=true", root, *certificates.server_flags).start()
    with contextlib.closing(certificates.client(server)) as client:
        assert echoes(client)
    with contextlib.closing(certificates.client(server, known=False)) as stranger:
        with pytest.raises(InferenceServerException) as caught:
            echoes(stranger)
        assert str(caught.value.status()) == "StatusCode.UNAVAILABLE"


# ---- compression ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_client_may_compress_what_it_sends(server: Server, algorithm: str) -> None:
    with contextlib.closing(tritonclient.grpc.InferenceServerClient(server.grpc_address)) as client:
        assert echoes(client, compression_algorithm=algorithm)


@pytest.mark.parametrize(
    ("level", "least", "most"),
    [("none", 400_000, 450_000)] + [(level, 100, 20_000) for level in ("low", "medium", "high")],
)
def test_answers_are_compressed_where_the_level_says_so(
    new_server: StartServer, repository: Path, level: str, least: int, most: int
) -> None:
    server = new_server(repository, f"--grpc-infer-response-compression-level={level}").start()
    message = echo_message(np.zeros(100_000, np.float32))
    with relay_to(server.grpc_port) as relay, grpc.insecure_channel(relay.address, options=_UNLIMITED) as channel:
        data = channel.unary_unary(_INFER)(message, timeout=_TIMEOUT_S)
        assert service_pb2.ModelInferResponse.FromString(data).raw_output_contents[0] == bytes(400_000)
        for_one = relay.received_bytes
        assert least < for_one < most
        [data] = list(channel.stream_stream(_STREAM)(iter([message]), timeout=_TIMEOUT_S))
        response = service_pb2.ModelStreamInferResponse.FromString(data)
        assert response.infer_response.raw_output_contents[0] == bytes(400_000)
        assert least < relay.received_bytes - for_one < most


@pytest.mark.parametrize("taken", [_IDENTITY, _IDENTITY | _GZIP])
def test_a_client_gets_only_what_it_can_read(new_server: StartServer, repository: Path, taken: int) -> None:
    server = new_server(repository, "--grpc-infer-response-compression-level=high").start()
    options = [("grpc.compression_enabled_algorithms_bitset", taken)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        data = channel.unary_unary(_INFER)(echo_message(np.zeros(1000, np.float32)), timeout=_TIMEOUT_S)
    assert service_pb2.ModelInferResponse.FromString(data).raw_output_contents[0] == bytes(4000)


# ---- the connection ------------------------------------------------------------------------------------------------


def test_messages_far_beyond_grpcs_own_limit_pass_both_ways(server: Server) -> None:
    big = np.random.default_rng(4).random(20_000_000, dtype=np.float32)
    with contextlib.closing(GrpcFace(server)) as face:
        assert (face.infer(Call("echo", {"INPUT0": big})).outputs["OUTPUT0"] == big).all()


def test_flags_of_the_connection_are_taken(new_server: StartServer, repository: Path) -> None:
    server = new_server(
        repository,
        "--grpc-keepalive-time=1000",
        "--grpc-keepalive-timeout=500",
        "--grpc-keepalive-permit-without-calls=true",
        "--grpc-http2-max-pings-without-data=0",
        "--grpc-http2-min-recv-ping-interval-without-data=10",
        "--grpc-http2-max-ping-strikes=0",
        "--grpc-max-connection-age=60000",
        "--grpc-max-connection-age-grace=1000",
    ).start()
    keepalive = tritonclient.grpc.KeepAliveOptions(
        keepalive_time_ms=100, keepalive_timeout_ms=5000, keepalive_permit_without_calls=True
    )
    client = tritonclient.grpc.InferenceServerClient(server.grpc_address, keepalive_options=keepalive)
    with contextlib.closing(client):
        assert echoes(client)


def test_a_connection_ends_at_its_age(new_server: StartServer, repository: Path) -> None:
    server = new_server(repository, "--grpc-max-connection-age=300", "--grpc-max-connection-age-grace=100").start()
    with grpc.insecure_channel(server.grpc_address) as channel:
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # A stream that neither side would ever end.
        stream = channel.stream_stream(_STREAM)(iter(requests.get, None), timeout=_TIMEOUT_S)
        with pytest.raises(grpc.RpcError):
            next(stream)
        requests.put(None)
        assert stream.code() is grpc.StatusCode.UNAVAILABLE
    with contextlib.closing(GrpcFace(server)) as face:
        assert face.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)})).outputs["OUTPUT0"].tolist() == [1.0]
