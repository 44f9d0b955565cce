"""Forests of trees: every format and parameter, against the answers of the library that trained them."""

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.frameworks.subject import HAS_GPU
from tests.frameworks.subjects.fil import FEATURES
from tests.harness.faces import Call, HttpFace
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server, serving

pytestmark = pytest.mark.slow

ROWS = 16
_ROOT = Path(__file__).parents[2]
_NEEDED = ("treelite", "xgboost", "lightgbm", "sklearn")

#: Model by name: what was trained, its file, parameters, columns of the output.
MODELS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "json_class": ("two", "xgboost.json", {"model_type": "xgboost_json", "output_class": "true"}, 1),
    "ubj_threshold": (
        "two",
        "xgboost.ubj",
        {"model_type": "xgboost_ubj", "output_class": "true", "threshold": "0.8"},
        1,
    ),
    "one_column": ("two", "xgboost.ubj", {"predict_proba": "true"}, 1),
    "two_columns": ("two", "xgboost.ubj", {"predict_proba": "true", "is_classifier": "true"}, 2),
    "values": ("two", "xgboost.ubj", {"output_class": "false"}, 1),
    "number": ("number", "xgboost.json", {}, 1),
    "number_lightgbm": ("number_lightgbm", "model.txt", {"model_type": "lightgbm", "output_class": "false"}, 1),
    "three_lightgbm": ("three_lightgbm", "model.txt", {"model_type": "lightgbm", "predict_proba": "true"}, 3),
    "class_lightgbm": ("three_lightgbm", "model.txt", {"storage_type": "AUTO"}, 1),
    "forest": ("forest", "checkpoint.tl", {"model_type": "treelite_checkpoint", "predict_proba": "true"}, 3),
    "named": ("forest", "trees.tl", {"predict_proba": "true"}, 3),
    "boosted": ("boosted", "checkpoint.tl", {"predict_proba": "true"}, 1),
}


def parameters(named: dict[str, str]) -> str:
    return "".join(f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}\n' for key, text in named.items())


def write_model(
    models: Path, name: str, trained: Path, told: dict[str, str], columns: int, kind: str = "KIND_CPU"
) -> None:
    _, filename, _, _ = MODELS[name]
    folder = models / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / filename).write_bytes(trained.read_bytes())
    group = one_cpu().replace("KIND_CPU", kind)
    text = f'backend: "fil"\nmax_batch_size: 64\n{group}{BATCHING}{parameters(told)}'
    text += f'input {{ name: "input__0" data_type: TYPE_FP32 dims: [ {FEATURES} ] }}\n'
    text += f'output {{ name: "output__0" data_type: TYPE_FP32 dims: [ {columns} ] }}\n'
    if filename not in ("xgboost.json", "xgboost.ubj", "model.txt", "checkpoint.tl"):
        text += f'default_model_filename: "{filename}"\n'
    (models / name / "config.pbtxt").write_text(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all formats, and what the libraries answer themselves."""
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("trained")
    program = [sys.executable, "-m", "tests.frameworks.forests", str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=_ROOT, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("fil")
    (folder / "models").mkdir()
    started = Server(folder / "models", "--model-control-mode=explicit", log=folder / "log")
    with serving(started) as running:
        yield running


@pytest.fixture
def answers(trained: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(trained / "answers.npz") as arrays:
        return dict(arrays)


def ask(server: Server, name: str, features: npt.NDArray[Any]) -> npt.NDArray[Any]:
    face = HttpFace(server)
    try:
        face.ask("load_model", name)
        answer: npt.NDArray[Any] = face.infer(Call(name, {"input__0": features})).outputs["output__0"]
        face.ask("unload_model", name)
        return answer
    finally:
        face.close()


def expected(name: str, answers: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    model, _, told, columns = MODELS[name]
    values: npt.NDArray[Any] = answers[model].reshape(ROWS, -1)
    if columns == 2:
        return np.concatenate([1 - values, values], axis=1)
    if "predict_proba" in told or told.get("output_class") == "false" or model.startswith("number"):
        return values
    if values.shape[1] > 1:
        return np.asarray(values.argmax(axis=1).reshape(-1, 1))
    return np.asarray(values > float(told.get("threshold", "0.5")))


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU (no /dev/nvidia0)")
@pytest.mark.skipif(find_spec("nvforest") is None, reason="'nvforest' is not installed: pip install 'tis[fil-gpu]'")
@pytest.mark.parametrize("name", MODELS)
def test_the_answer_on_a_gpu_is_that_of_the_library_that_trained_the_model(
    server: Server, trained: Path, answers: dict[str, npt.NDArray[Any]], name: str
) -> None:
    model, filename, told, columns = MODELS[name]
    write_model(server.repository, name, trained / f"{model}{Path(filename).suffix}", told, columns, "KIND_GPU")
    np.testing.assert_allclose(ask(server, name, answers["features"]), expected(name, answers), 1e-3, 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_answer_is_that_of_the_library_that_trained_the_model(
    server: Server, trained: Path, answers: dict[str, npt.NDArray[Any]], name: str
) -> None:
    model, filename, told, columns = MODELS[name]
    write_model(server.repository, name, trained / f"{model}{Path(filename).suffix}", told, columns)
    answer = ask(server, name, answers["features"])
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected(name, answers), 1e-5, 1e-6)


def refusal_of(server: Server, name: str, config: str, files: dict[str, bytes]) -> str:
    folder = server.repository / name / "1"
    folder.mkdir(parents=True)
    for filename, content in files.items():
        (folder / filename).write_bytes(content)
    (folder.parent / "config.pbtxt").write_text(f'backend: "fil"\nmax_batch_size: 8\n{one_cpu()}{config}')
    face = HttpFace(server)
    try:
        face.ask("load_model", name)
    except Exception as error:  # noqa: BLE001 - the client's own class
        return str(error)
    finally:
        face.close()
    return ""


@pytest.mark.parametrize(
    ("name", "config", "files", "words"),
    [
        ("pickled", "", {"model.pkl": pickle.dumps({})}, "is a pickle, .*checkpoint.tl"),
        ("disguised", "", {"checkpoint.tl": pickle.dumps({})}, "is a pickle"),
        ("absent", parameters({"model_type": "lightgbm"}), {}, "unable to find '.*model.txt'"),
        ("empty", "", {}, "unable to find any of xgboost.json"),
        ("legacy", "", {"xgboost.model": b"binf"}, "unable to load model 'legacy' as xgboost"),
        (
            "shapley",
            'output { name: "treeshap_output" data_type: TYPE_FP32 dims: [ 7 ] }\n',
            {},
            "Shapley values are not computed here",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    server: Server, name: str, config: str, files: dict[str, bytes], words: str
) -> None:
    assert re.search(words, refusal_of(server, name, config, files))


def test_an_output_of_the_wrong_width_is_told_at_load(server: Server, trained: Path) -> None:
    config = parameters({"predict_proba": "true"})
    config += 'output { name: "output__0" data_type: TYPE_FP32 dims: [ 3 ] }\n'
    files = {"xgboost.json": (trained / "two.json").read_bytes()}
    assert re.search(r"tensor 'output__0': the model expects", refusal_of(server, "wide", config, files))


def test_a_checkpoint_that_was_cut_off_is_refused(server: Server, trained: Path) -> None:
    whole = (trained / "forest.tl").read_bytes()
    told = refusal_of(server, "half", "", {"checkpoint.tl": whole[: len(whole) // 2]})
    assert "unable to load model 'half' as treelite_checkpoint" in told
