"""Outputs as classes with labels, through both of NVIDIA's clients, and raw binary requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Body, Connection, Response, infer_post, json_body, json_input
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving


def write_labelled(models: Path, name: str, label_filename: str) -> None:
    identity("FP32", ["b", 4]).write(models, name, max_batch_size=4, extra=one_cpu())
    config = models / name / "config.pbtxt"
    config.write_text(config.read_text().replace("output [ {", f'output [ {{ label_filename: "{label_filename}" '))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("classes")
    models = folder / "models"
    write_labelled(models, "animals", "labels.txt")
    (models / "animals" / "labels.txt").write_text("cat\ndog\n\nfox\n")
    identity("BOOL", [2]).write(models, "bools", extra=one_cpu())
    identity("BYTES", ["b", 1]).write(models, "word", max_batch_size=2, extra=one_cpu())
    identity("BYTES", [-1]).write(models, "words", extra=one_cpu())
    identity("INT32", ["n", 2]).write(models, "pairs", extra=one_cpu())
    identity("INT32", ["n", "m"]).write(models, "matrix", extra=one_cpu())
    server = Server(models, "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server


def classes(server: Server, face: str, model: str, values: Any, count: int) -> Any:
    library: Any = {"http": tritonclient.http, "grpc": tritonclient.grpc}[face]
    address = server.http_address if face == "http" else server.grpc_address
    tensor = library.InferInput("INPUT0", list(values.shape), "BOOL" if values.dtype == np.bool_ else "FP32")
    tensor.set_data_from_numpy(values)
    with library.InferenceServerClient(address) as client:
        result = client.infer(model, [tensor], outputs=[library.InferRequestedOutput("OUTPUT0", class_count=count)])
        return result.as_numpy("OUTPUT0")


@pytest.mark.parametrize("face", ["http", "grpc"])
def test_classes_are_the_largest_values_with_index_and_label(own: Server, face: str) -> None:
    values = np.array([[1, 2, 3, 4], [4, 3, 2.5, 1]], np.float32)
    found = classes(own, face, "animals", values, 2)
    assert found.tolist() == [[b"4.000000:3:fox", b"3.000000:2"], [b"4.000000:0:cat", b"3.000000:1:dog"]]
    with pytest.raises(InferenceServerException, match="class result not available for output due to unsupported type"):
        classes(own, face, "bools", np.array([True, False]), 1)


def ask(server: Server, model: str, body: Body) -> Response:
    with Connection(server) as connection:
        return connection.call(infer_post(model, body))


@pytest.mark.parametrize("value", [-1, "2", 1.5, True, None, 2**64])
def test_the_number_of_classes_is_an_unsigned_integer(own: Server, value: Any) -> None:
    document = {
        "inputs": [json_input("INPUT0", "FP32", [1, 4], [1, 2, 3, 4])],
        "outputs": [{"name": "OUTPUT0", "parameters": {"classification": value}}],
    }
    answer = ask(own, "animals", json_body(document))
    assert answer.status == 500
    assert answer.error == (
        "Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer"
    )


def test_a_model_whose_label_file_is_not_there_or_elsewhere_does_not_load(
    new_server: StartServer, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    write_labelled(models, "missing", "labels.txt")
    write_labelled(models, "outside", "../labels.txt")
    (models / "labels.txt").write_text("secret\n")
    server = new_server(models, "--exit-on-error=false").start()
    assert f"failed to open text file for read {models}/missing/labels.txt: No such file or directory" in server.log()
    assert (
        "label file '../labels.txt' of output 'OUTPUT0' lies outside of the directory of model 'outside'"
        in server.log()
    )


# ---- raw binary requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"hello", b"", bytes(100_000)])
def test_a_raw_string_gets_its_length_put_before_it(own: Server, text: bytes) -> None:
    answer = ask(own, "word", Body(text, 0))
    assert answer.status == 200
    assert answer.body.endswith(len(text).to_bytes(4, "little") + text)


def test_an_empty_body_without_a_header_length_is_a_raw_string_of_no_bytes(own: Server) -> None:
    answer = ask(own, "word", Body(b""))
    assert answer.status == 200
    assert answer.body.endswith(bytes(4))


def test_a_chunked_raw_string_is_read_as_well(own: Server) -> None:
    head = b"POST /v2/models/word/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    with Connection(own) as connection:
        answer = connection.call(head + b"Inference-Header-Content-Length: 0\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.body.endswith(b"\5\0\0\0abcde")


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("words", "For BYTE datatype raw input 'INPUT0', the model must have input shape [1]"),
        (
            "matrix",
            "The shape of the raw input 'INPUT0' can not be deduced because there are more than one variable-sized "
            "dimension",
        ),
        ("pairs", "input byte size mismatch for input 'raw_input' for model 'pairs'. Expected 8, got 12"),
    ],
)
def test_a_raw_request_whose_shape_cannot_be_told_is_refused(own: Server, model: str, text: str) -> None:
    answer = ask(own, model, Body(bytes(12), 0))
    assert (answer.status, answer.error) == (400, f"[request id: <id_unknown>] {text}")
    assert answer.headers["content-type"] == "application/json"
