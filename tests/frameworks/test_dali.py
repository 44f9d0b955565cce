"""DALI pipelines: pictures, several inputs and outputs, samples of different shapes, pipelines written in Python."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.utils import InferenceServerException

from tests.frameworks.subject import HAS_GPU
from tests.frameworks.subjects import subject
from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.observing import statistics
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[2]
_DELAYED = "dynamic_batching { max_queue_delay_microseconds: 200000 }\n"
_PYTHON = """\
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.triton import autoserialize


@autoserialize
@pipeline_def(batch_size=4, num_threads=1, device_id=0, output_dtype=[types.INT32], output_ndim=[1])
def counted():
    rows = fn.external_source(device="cpu", name="ROWS", dtype=types.INT32, ndim=1)
    return fn.cast(rows + 1, dtype=types.INT32, name="NEXT")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if subject("dali").lacks:
        pytest.skip(subject("dali").lacks)
    folder = tmp_path_factory.mktemp("pipelines")
    program = [sys.executable, "-m", "tests.frameworks.pipelines", str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=_ROOT, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder


def put(models: Path, name: str, config: str | None, file: str, content: bytes) -> None:
    folder = models / name / "1"
    folder.mkdir(parents=True)
    (folder / file).write_bytes(content)
    if config is not None:
        (models / name / "config.pbtxt").write_text(f'backend: "dali"\n{one_cpu()}{config}')


@pytest.fixture(scope="module")
def server(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("dali")
    models = folder / "models"
    named = 'output { name: "SMALL" dims: [ 4, 6, 3 ] }\n'
    put(models, "pictures", named, "model.dali", (written / "decoded.dali").read_bytes())
    both = "".join(
        f'{side} {{ name: "{name}" data_type: TYPE_FP32 dims: [ -1 ] }}\n'
        for side, name in (("input", "LEFT"), ("input", "RIGHT"), ("output", "SUM"), ("output", "PRODUCT"))
    )
    put(models, "two", f"max_batch_size: 8\n{both}", "model.dali", (written / "two.dali").read_bytes())
    put(models, "lengths", f"max_batch_size: 8\n{_DELAYED}", "model.dali", (written / "lengths.dali").read_bytes())
    split = 'parameters { key: "split_along_outer_axis" value { string_value: "SPLIT" } }\n'
    put(models, "frames", split, "model.dali", (written / "frames.dali").read_bytes())
    put(models, "single", "max_batch_size: 0\n", "model.dali", (written / "lengths.dali").read_bytes())
    put(models, "written.dali", None, "dali.py", _PYTHON.encode())
    with serving(Server(models, "--exit-on-error=false", log=folder / "log")) as running:
        yield running


def ask(server: Server, name: str, **inputs: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    with contextlib.closing(HttpFace(server)) as face:
        return dict(face.infer(Call(name, inputs)).outputs)


def test_pictures_are_decoded_and_one_that_is_none_fails_alone(server: Server, written: Path) -> None:
    picture = np.frombuffer((written / "picture.png").read_bytes(), np.uint8)[None]
    for _ in range(2):
        small = ask(server, "pictures", FILE=picture)["SMALL"]
        assert small.shape == (1, 4, 6, 3)
        assert small[0, 0, 0].tolist() == [200, 100, 50]
        with pytest.raises(InferenceServerException, match="DALI error: "):
            ask(server, "pictures", FILE=np.arange(50, dtype=np.uint8)[None])


def test_several_inputs_and_outputs_of_which_the_pipeline_says_nothing(server: Server) -> None:
    left, right = np.array([[1, 2, 3]], np.float32), np.array([[10, 20, 30]], np.float32)
    answer = ask(server, "two", LEFT=left, RIGHT=right)
    assert answer["SUM"].tolist() == [[11, 22, 33]]
    assert answer["PRODUCT"].tolist() == [[10, 40, 90]]


def test_requests_of_different_shapes_run_as_one_batch(server: Server) -> None:
    rows = [np.ones((1, length), np.float32) for length in (2, 3, 5, 7)]
    for _ in range(5):
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda row: ask(server, "lengths", ROWS=row), rows))
        for row, answer in zip(rows, answers, strict=True):
            assert [array.tolist() for array in answer.values()] == [[[row.size]]]
        stats = statistics(server, "lengths")
        if int(stats["execution_count"]) < int(stats["inference_stats"]["success"]["count"]):
            return
    raise AssertionError("clients' requests never ran together")


def test_samples_are_split_along_their_first_dimension_where_the_config_says_so(server: Server) -> None:
    frames = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert ask(server, "frames", FRAMES=frames)["SPLIT"].tolist() == frames.reshape(6, 4).tolist()


def test_a_config_without_batches_gets_the_samples_of_a_request_as_its_first_dimension(server: Server) -> None:
    with contextlib.closing(HttpFace(server)) as face:
        config = face.ask("get_model_config", "single")
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [-1, -1]
    assert [each.tolist() for each in ask(server, "single", ROWS=np.ones((2, 3), np.float32)).values()] == [[[3], [3]]]


def test_a_pipeline_written_in_python_is_served_without_a_config(server: Server) -> None:
    with contextlib.closing(HttpFace(server)) as face:
        config = face.ask("get_model_config", "written.dali")
    assert (config["max_batch_size"], config["backend"]) == (4, "dali")
    assert config["input"][0]["allow_ragged_batch"] is True
    assert "dynamic_batching" in config
    answer = ask(server, "written.dali", ROWS=np.array([[1, 2]], np.int32))
    assert answer["NEXT"].tolist() == [[2, 3]]


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU (no /dev/nvidia0)")
def test_a_pipeline_answers_on_a_gpu(new_server: StartServer, tmp_path: Path, written: Path) -> None:
    put(tmp_path / "models", "lengths", "max_batch_size: 8\n", "model.dali", (written / "lengths.dali").read_bytes())
    config = tmp_path / "models" / "lengths" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU"))
    server = new_server(tmp_path / "models").start()
    assert [each.tolist() for each in ask(server, "lengths", ROWS=np.ones((2, 3), np.float32)).values()] == [[[3], [3]]]
