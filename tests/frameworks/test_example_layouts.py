"""The two layouts that introductions to Triton show: `resnet50` with model.onnx, `bert` with model.pt, at their true sizes.

The client is the one of such an introduction, letter by letter.
"""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from tests.frameworks.pytorch_models import torch
from tests.harness.faces import FACES, Call
from tests.harness.server import Server, serving

__all__ = ["torch"]

if find_spec("torch") is None:
    pytest.skip("'torch' is not installed: pip install 'tis[torch]'", allow_module_level=True)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SNIPPET = """\
import tritonclient.http as httpclient
client = httpclient.InferenceServerClient(url="localhost:8000")
inputs = [httpclient.InferInput("input_name", [1, 3, 224, 224], "FP32")]
inputs[0].set_data_from_numpy(np.random.rand(1, 3, 224, 224).astype(np.float32))
results = client.infer("resnet50", inputs)
output = results.as_numpy("output_name")
print(output)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("examples")
    making = [sys.executable, "-m", "tools.networks.make", str(folder / "models"), "--layers=2"]
    subprocess.run(making, check=True, cwd=ROOT, timeout=200, capture_output=True)
    with serving(Server(folder / "models", log=folder / "log")) as started:
        yield started


def test_the_layouts_are_those_of_the_introduction(server: Server) -> None:
    found = {str(path.relative_to(server.repository)) for path in server.repository.rglob("*") if path.is_file()}
    assert found == {"resnet50/1/model.onnx", "resnet50/config.pbtxt", "bert/1/model.pt", "bert/config.pbtxt"}


def test_its_client_is_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tritonclient.http.InferenceServerClient

    def dial(url: str) -> Any:
        # The ports of servers under test are free ones.
        assert url == "localhost:8000"
        return real(server.http_address, network_timeout=60.0)

    monkeypatch.setattr(tritonclient.http, "InferenceServerClient", dial)
    # It takes numpy for granted.
    names: dict[str, Any] = {"np": np}
    exec(SNIPPET, names)
    assert names["output"].shape == (1, 1000)
    assert np.isfinite(names["output"]).all()
    assert capsys.readouterr().out.startswith("[[")
    names["client"].close()


def test_resnet50_answers_as_onnx_runtime_does(server: Server) -> None:
    import onnxruntime

    pictures = np.random.default_rng(1).random((2, 3, 224, 224)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        str(server.repository / "resnet50/1/model.onnx"), providers=["CPUExecutionProvider"]
    )
    (right,) = session.run(["output_name"], {"input_name": pictures})
    face = FACES["grpc"](server)
    answer = face.infer(Call("resnet50", {"input_name": pictures})).outputs["output_name"]
    face.close()
    np.testing.assert_allclose(answer, right, rtol=1e-4, atol=1e-4)


def test_bert_answers_as_pytorch_does_whatever_the_length(server: Server, torch: Any) -> None:
    rng = np.random.default_rng(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(str(server.repository / "bert/1/model.pt"))
    for protocol, rows, words in (("http", 1, 12), ("grpc", 3, 7)):
        inputs = {
            "input_ids": rng.integers(1, 30522, (rows, words)),
            "attention_mask": np.ones((rows, words), np.int64),
            "token_type_ids": np.zeros((rows, words), np.int64),
        }
        inputs["attention_mask"][:, -2:] = 0
        face = FACES[protocol](server)
        answer = face.infer(Call("bert", inputs)).outputs
        face.close()
        with torch.inference_mode():
            right = model(*(torch.from_numpy(array) for array in inputs.values()))
        for name, tensor in zip(("last_hidden_state", "pooler_output"), right, strict=True):
            np.testing.assert_allclose(answer[name], tensor.numpy(), rtol=1e-3, atol=1e-4)
