"""What a config and `--backend-config` say to ONNX Runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from google.protobuf import text_format

from tests.harness.models import identity
from tis.config.proto import ModelConfig
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError
from tis_workers.backends.base import LoadContext
from tis_workers.backends.onnxruntime_options import run_options, session_options
from tis_workers.backends.onnxruntime_providers import providers

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"]


def context(
    config: str = "",
    *,
    kind: str = "CPU",
    flags: Mapping[str, str] | None = None,
    model_path: str = "",
    **parameters: str,
) -> LoadContext:
    spec = ModelSpec(
        "m",
        1,
        "onnxruntime_onnx",
        "onnxruntime",
        0,
        (),
        (),
        parameters={key.replace("__", "."): value for key, value in parameters.items()},
        config=text_format.Parse(config, ModelConfig()).SerializeToString(),
        model_path=model_path,
        filename="model.onnx",
    )
    return LoadContext(spec, InstanceSpec("m_0", kind), threads=3, backend_config=flags or {})


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(TisError) as caught:
        call(*arguments)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def accelerators(which: str, name: str, **parameters: str) -> str:
    listed = "".join(f'parameters {{ key: "{key}" value: "{value}" }} ' for key, value in parameters.items())
    return f'optimization {{ execution_accelerators {{ {which}_execution_accelerator {{ name: "{name}" {listed}}} }} }}'


# ---- sessions ----------------------------------------------------------------------------------------------------------


def test_threads_are_the_instances_share_unless_the_model_says_otherwise() -> None:
    options = session_options(context())
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 0)
    options = session_options(context(intra_op_thread_count="5", inter_op_thread_count="2"))
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (5, 2)
    assert "counts of threads must be 0 or more" in refused(session_options, context(intra_op_thread_count="-1"))
    assert "must be an integer, got 'x'" in refused(session_options, context(intra_op_thread_count="x"))


def test_a_global_pool_of_threads_takes_its_counts_from_the_flags_and_not_from_the_model() -> None:
    flags = {"enable-global-threadpool": "1", "intra_op_thread_count": "7", "inter_op_thread_count": "2"}
    options = session_options(context(flags=flags, intra_op_thread_count="5"))
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (7, 2)
    options = session_options(context(flags={**flags, "enable-global-threadpool": "0"}, intra_op_thread_count="5"))
    assert options.intra_op_num_threads == 5


def test_memory_execution_mode_level_and_entries_are_passed_on() -> None:
    options = session_options(
        context(
            "optimization { graph { level: 2 } }",
            enable_mem_arena="false",
            enable_mem_pattern="0",
            execution_mode="1",
            session__intra_op__allow_spinning="1",
            session__set_denormal_as_zero="1",
        )
    )
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert "Expected values for execution_mode are 0 or 1 but got 2" in refused(
        session_options, context(execution_mode="2")
    )
    assert "failed to convert 'no' to boolean" in refused(session_options, context(enable_mem_arena="no"))


def test_memory_is_given_back_after_a_run_where_the_model_says_so() -> None:
    assert run_options(context()) is None
    options = run_options(context(memory__enable_memory_arena_shrinkage="cpu:0"))
    assert options.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"


def test_a_library_of_operations_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ops.so").write_bytes(b"no library")
    asked = context('model_operations { op_library_filename: "ops.so" }', model_path=str(tmp_path))
    with pytest.raises(TisError, match=r"unable to load the operations in 'ops\.so'"):
        session_options(asked)


# ---- providers ---------------------------------------------------------------------------------------------------------


def test_a_cpu_instance_runs_on_the_cpu_or_on_openvino() -> None:
    assert providers(context(), ALL) == ["CPUExecutionProvider"]
    asked = context(accelerators("cpu", "openvino", num_of_threads="2"))
    chosen = ("OpenVINOExecutionProvider", {"device_type": "CPU", "num_of_threads": "2"})
    assert providers(asked, ALL) == [chosen, "CPUExecutionProvider"]
    with pytest.raises(TisError, match="needs ONNX Runtime's OpenVINOExecutionProvider, which is not in the installed"):
        providers(asked, ["CPUExecutionProvider"])
    unknown = context(accelerators("cpu", "tensorrt"))
    assert refused(providers, unknown, ALL) == "unknown Execution Accelerator 'tensorrt' is requested"


def test_a_gpu_instance_runs_on_cuda_with_the_options_of_both_places() -> None:
    assert providers(context(kind="GPU"), ALL)[0] == ("CUDAExecutionProvider", {"device_id": "0"})
    asked = context(
        accelerators("gpu", "cuda", use_ep_level_unified_stream="1"),
        kind="GPU",
        cudnn_conv_algo_search="1",
        arena_extend_strategy="1",
        gpu_mem_limit="1000",
    )
    assert providers(asked, ALL) == [
        (
            "CUDAExecutionProvider",
            {
                "device_id": "0",
                "cudnn_conv_algo_search": "HEURISTIC",
                "arena_extend_strategy": "kSameAsRequested",
                "gpu_mem_limit": "1000",
                "use_ep_level_unified_stream": "1",
            },
        ),
        "CPUExecutionProvider",
    ]
    wrong = context(kind="GPU", cudnn_conv_algo_search="3")
    assert refused(providers, wrong, ALL) == "unsupported cudnn_conv_algo_search value '3' is requested"
    with pytest.raises(TisError, match="a KIND_GPU instance needs ONNX Runtime's CUDAExecutionProvider"):
        providers(context(kind="GPU"), ["CPUExecutionProvider"])


def test_tensorrt_stands_before_cuda_under_its_own_names_of_options() -> None:
    given = {"precision_mode": "FP16", "max_workspace_size_bytes": "1073741824", "trt_engine_cache_enable": "1"}
    chosen = providers(context(accelerators("gpu", "tensorrt", **given), kind="GPU"), ALL)
    assert chosen == [
        (
            "TensorrtExecutionProvider",
            {
                "device_id": "0",
                "trt_fp16_enable": "1",
                "trt_max_workspace_size": "1073741824",
                "trt_engine_cache_enable": "1",
            },
        ),
        ("CUDAExecutionProvider", {"device_id": "0"}),
        "CPUExecutionProvider",
    ]
    for key, value, words in (
        ("precision_mode", "FP8", "unsupported precision mode 'FP8' is requested"),
        ("precision", "FP16", "unknown parameter 'precision' is provided for TensorRT Execution Accelerator"),
    ):
        asked = context(accelerators("gpu", "tensorrt", **{key: value}), kind="GPU")
        assert refused(providers, asked, ALL) == words


def test_a_model_in_a_directory_of_its_own_is_loaded(tmp_path: Path) -> None:
    from tis.testing import load_model

    identity("FP32", ["b", 3]).write_version(tmp_path, "m", 1)
    file = tmp_path / "m" / "1" / "model.onnx"
    moved = file.rename(file.with_name("made.onnx"))
    file.mkdir()
    moved.rename(file / "model.onnx")
    with load_model(tmp_path / "m") as model:
        assert model.infer({"INPUT0": [[1, 2, 3]]})["OUTPUT0"].tolist() == [[1, 2, 3]]
