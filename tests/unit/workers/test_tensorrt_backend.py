"""The TensorRT backend around the library: buffers, profiles, batches and configs, with an imitation of the library."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.imitated_tensorrt import PLAN, TORCH, TRT
from tests.unit.workers.recorded import request_of
from tis.config.proto import ModelConfig
from tis.config.source import parse_text
from tis.config.spec import model_spec
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError
from tis_workers.backends.base import LoadContext

_MODULE = "tis_workers.backends.tensorrt_backend"
_ALL = 'input { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ' + "".join(
    f'output {{ name: "{name}" data_type: {kind} dims: [ {dims} ]{more} }} '
    for name, kind, dims, more in (("y", "TYPE_FP32", "3", ""), ("n", "TYPE_INT64", "1", " reshape { shape: [ ] }"))
)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setitem(sys.modules, "tensorrt", TRT)
    monkeypatch.setitem(sys.modules, "torch", TORCH)
    monkeypatch.delitem(sys.modules, _MODULE, raising=False)
    yield importlib.import_module(_MODULE)
    sys.modules.pop(_MODULE, None)


def spec_of(folder: Path, text: str = "max_batch_size: 16 " + _ALL) -> ModelSpec:
    config = parse_text(f'name: "m" backend: "tensorrt" platform: "tensorrt_plan" {text}', "p")
    return model_spec(config, version=1, model_path=folder)


def context_of(folder: Path, spec: ModelSpec, plan: bytes = PLAN, **instance: Any) -> LoadContext:
    (folder / "1").mkdir(exist_ok=True)
    (folder / "1" / "model.plan").write_bytes(plan)
    return LoadContext(spec, InstanceSpec("m_0_0", **{"kind": "GPU", **instance}), 1)


def test_a_single_request_and_a_batch_get_their_rows_though_they_share_buffers(
    backend: ModuleType, tmp_path: Path
) -> None:
    spec = spec_of(tmp_path)
    loaded = backend.load(context_of(tmp_path, spec, profiles=("0", "1")))
    loaded.serve(spec)
    for counts in ((1,), (3, 2), (1, 1, 1), (16,), (2,)):
        asked = [np.full((count, 3), 10 * place, np.float32) for place, count in enumerate(counts, 1)]
        pairs = [request_of(spec, {"x": rows}, batch_size=len(rows)) for rows in asked]
        loaded.execute([request for request, _ in pairs])
        at = 0
        for rows, (_, recorder) in zip(asked, pairs, strict=True):
            numbers = [[at + row] for row in range(len(rows))]
            assert recorder.answers == [({"y": (2 * rows).tolist(), "n": numbers}, True)]
            at += len(rows)


def test_a_batch_that_no_profile_of_the_instance_takes_fails_and_the_next_is_answered(
    backend: ModuleType, tmp_path: Path
) -> None:
    spec = spec_of(tmp_path, "max_batch_size: 4 " + _ALL)
    loaded = backend.load(context_of(tmp_path, spec))
    loaded.serve(spec)
    request, recorder = request_of(spec, {"x": np.ones((5, 3), np.float32)}, batch_size=5)
    loaded.execute([request])
    ((text, _),) = recorder.answers
    assert "failed to find any Optimization Profile among [0] of model 'm'" in text
    request, recorder = request_of(spec, {"x": np.ones((4, 3), np.float32)}, batch_size=4)
    loaded.execute([request])
    assert recorder.answers[0][0]["y"] == [[2, 2, 2]] * 4


def test_the_config_is_completed_with_the_largest_batch_of_the_profiles(backend: ModuleType, tmp_path: Path) -> None:
    for profiles, largest in (((), 4), (("1",), 16)):
        loaded = backend.load(context_of(tmp_path, spec_of(tmp_path, ""), profiles=profiles))
        config = json.loads(loaded.proposed_config())
        assert (config["max_batch_size"], config["dynamic_batching"]["preferred_batch_size"]) == (largest, [largest])
        assert [(each["name"], each["dims"]) for each in config["input"]] == [("x", [3])]
        assert [each["name"] for each in config["output"]] == ["y", "n"]


def test_another_file_is_named_for_the_gpu_that_is_there(backend: ModuleType, tmp_path: Path) -> None:
    text = 'cc_model_filenames { key: "9.0" value: "hopper.plan" } cc_model_filenames { key: "8.0" value: "none.plan" }'
    context = context_of(tmp_path, spec_of(tmp_path, text), plan=b"of another GPU")
    (tmp_path / "1" / "hopper.plan").write_bytes(PLAN)
    assert ModelConfig.FromString(context.spec.config).cc_model_filenames
    assert backend.load(context).proposed_config()


@pytest.mark.parametrize(
    ("text", "instance", "plan", "code", "words"),
    [
        ("", {"kind": "CPU"}, PLAN, Code.INVALID_ARG, "TensorRT backend supports only GPU device"),
        ("", {}, b"else", Code.INTERNAL, "unable to create TensorRT engine: magic tag does not match"),
        (
            "max_batch_size: 5 ",
            {},
            PLAN,
            Code.INTERNAL,
            "specified max-batch 5 but TensorRT engine only supports max-batch 4",
        ),
        ("", {"profiles": ("2",)}, PLAN, Code.INTERNAL, "configuration specified invalid profile 2 "),
        (
            "max_batch_size: 4 " + _ALL.replace("FP32", "FP16"),
            {},
            PLAN,
            Code.INVALID_ARG,
            "configuration expects datatype TYPE_FP16 for input 'x', model provides TYPE_FP32",
        ),
        (
            'parameters { key: "execution_context_allocation_strategy" value { string_value: "USER" } }',
            {},
            PLAN,
            Code.INVALID_ARG,
            "Invalid value for 'execution_context_allocation_strategy': 'USER'",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(
    backend: ModuleType, tmp_path: Path, text: str, instance: dict[str, Any], plan: bytes, code: Code, words: str
) -> None:
    with pytest.raises(TisError) as caught:
        backend.load(context_of(tmp_path, spec_of(tmp_path, text), plan, **instance))
    assert words in caught.value.message
    assert caught.value.code is code


def test_without_a_file_the_path_is_told(backend: ModuleType, tmp_path: Path) -> None:
    context = context_of(tmp_path, spec_of(tmp_path))
    (tmp_path / "1" / "model.plan").unlink()
    with pytest.raises(TisError, match=r"unable to find '.*model.plan' for model 'm'"):
        backend.load(context)
