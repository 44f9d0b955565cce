"""Session options and execution providers of an ONNX Runtime instance, from the model's config. Builds, loads nothing."""

from collections.abc import Sequence
from typing import Any, Final

import onnxruntime as ort

from tis.config.proto import ModelConfig
from tis.errors import invalid, unsupported
from tis.log import get_logger
from tis_workers.backends.base import LoadContext

#: Parameters that are ONNX Runtime's own session configuration keys are passed on under these prefixes.
_SESSION_CONFIG_PREFIXES: Final = ("session.", "ep.", "optimization.")

#: CUDA provider options that Triton's backend takes as parameters of the model.
_CUDA_PARAMETERS: Final[tuple[str, ...]] = (
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
    "cudnn_conv_use_max_workspace",
    "enable_cuda_graph",
)

_GRAPH_LEVELS: Final = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}

_ACCELERATORS: Final = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

_log = get_logger(__name__)


def session_options(context: LoadContext) -> ort.SessionOptions:
    """Session options from `optimization` and `parameters`, named as in Triton's onnxruntime backend.

    Threads: as configured, else the instance's share of the cores; its idle threads do not spin, since other processes
    of the server want the core.
    """
    config = ModelConfig.FromString(context.spec.config)
    parameters = context.spec.parameters
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _integer(parameters, "intra_op_thread_count", 0) or context.threads
    options.inter_op_num_threads = _integer(parameters, "inter_op_thread_count", 0)
    options.graph_optimization_level = _graph_level(config)
    if _integer(parameters, "execution_mode", 0) == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(_integer(parameters, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(_integer(parameters, "enable_mem_pattern", 1))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in parameters.items():
        if key.startswith(_SESSION_CONFIG_PREFIXES):
            options.add_session_config_entry(key, value)
    return options


def providers(context: LoadContext, available: Sequence[str]) -> list[str | tuple[str, dict[str, Any]]]:
    """Execution providers in order of preference; the CPU is always the last.

    Raises:
        TisError: UNSUPPORTED where the instance needs a provider that this build of ONNX Runtime lacks.
    """
    config = ModelConfig.FromString(context.spec.config)
    on_gpu = context.instance.kind == "GPU"
    chosen: list[tuple[str, dict[str, Any]]] = []
    accelerators = config.optimization.execution_accelerators
    listed = accelerators.gpu_execution_accelerator if on_gpu else accelerators.cpu_execution_accelerator
    for accelerator in listed:
        provider = _ACCELERATORS.get(accelerator.name)
        if provider is None:
            raise invalid(f"unknown Execution Accelerator '{accelerator.name}' is requested")
        _require(provider, available, f"the execution accelerator '{accelerator.name}'")
        chosen.append((provider, dict(accelerator.parameters)))
    if on_gpu and not any(name == "CUDAExecutionProvider" for name, _ in chosen):
        _require("CUDAExecutionProvider", available, "a KIND_GPU instance")
        # The worker sees one GPU only, so that it is number 0 here whatever number the machine gives it.
        options: dict[str, Any] = {"device_id": 0}
        options.update(
            {key: context.spec.parameters[key] for key in _CUDA_PARAMETERS if key in context.spec.parameters}
        )
        chosen.append(("CUDAExecutionProvider", options))
    return [*chosen, "CPUExecutionProvider"]


def _require(provider: str, available: Sequence[str], what: str) -> None:
    if provider not in available:
        raise unsupported(
            f"{what} needs ONNX Runtime's {provider}, which is not in the installed build (it has: "
            f"{', '.join(available)}); install it with: pip install 'tis[onnx-gpu]', or use KIND_CPU"
        )


def _graph_level(config: Any) -> Any:
    level = config.optimization.graph.level if config.optimization.HasField("graph") else 0
    if level not in _GRAPH_LEVELS:
        raise invalid(f"optimization.graph.level is {level}; ONNX Runtime takes -1, 0, 1 or 2")
    return _GRAPH_LEVELS[level]


def _integer(parameters: dict[str, str], key: str, default: int) -> int:
    text = parameters.get(key)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise invalid(f"parameter '{key}' must be an integer, got '{text}'") from None
