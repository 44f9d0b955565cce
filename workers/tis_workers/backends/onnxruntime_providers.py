"""Execution providers of an ONNX Runtime instance: accelerators of the config, CUDA for GPU instances, the CPU at last."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tis.config.proto import ModelConfig
from tis.errors import invalid, unsupported
from tis_workers.backends.base import LoadContext
from tis_workers.backends.onnxruntime_options import integer

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"
_TENSORRT: Final = "TensorrtExecutionProvider"
_OPENVINO: Final = "OpenVINOExecutionProvider"

Provider = str | tuple[str, dict[str, Any]]

#: CUDA options that Triton takes as parameters of the model, too; those with values have numbers for names there.
_CUDA_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
    "gpu_mem_limit": (),
    "do_copy_in_default_stream": (),
    "cudnn_conv_use_max_workspace": (),
    "enable_cuda_graph": (),
}
#: Parameters of the accelerator `tensorrt` that the provider has another name for; those named `trt_…` go as they are.
_TENSORRT_NAMES: Final = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}


def providers(context: LoadContext, available: Sequence[str]) -> list[Provider]:
    """Execution providers in order of preference; the CPU is always the last.

    Raises:
        TisError: INVALID_ARG for an accelerator or a parameter that does not exist; UNSUPPORTED where the instance needs a
            provider that this build of ONNX Runtime lacks.
    """
    accelerators = ModelConfig.FromString(context.spec.config).optimization.execution_accelerators
    if context.instance.kind == "GPU":
        return [*_on_gpu(context, accelerators.gpu_execution_accelerator, available), _CPU]
    chosen: list[Provider] = []
    for accelerator in accelerators.cpu_execution_accelerator:
        if accelerator.name != "openvino":
            raise _unknown(accelerator.name)
        _require(_OPENVINO, available, "the execution accelerator 'openvino'")
        chosen.append((_OPENVINO, {"device_type": "CPU", **accelerator.parameters}))
    return [*chosen, _CPU]


def _on_gpu(context: LoadContext, listed: Sequence[Any], available: Sequence[str]) -> list[Provider]:
    """TensorRT where the config asks for it; CUDA always, for what others do not take."""
    chosen: list[Provider] = []
    # The worker sees one GPU only, so that it is number 0 here whatever number the machine gives it.
    cuda = {"device_id": "0", **_cuda_parameters(context.spec.parameters)}
    for accelerator in listed:
        if accelerator.name == "tensorrt":
            _require(_TENSORRT, available, "the execution accelerator 'tensorrt'")
            chosen.append((_TENSORRT, {"device_id": "0", **tensorrt_options(accelerator.parameters)}))
        elif accelerator.name == "cuda":
            cuda.update(accelerator.parameters)
        else:
            raise _unknown(accelerator.name)
    _require(_CUDA, available, "a KIND_GPU instance")
    return [*chosen, (_CUDA, cuda)]


def _cuda_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """The CUDA provider's options among a model's parameters."""
    found: dict[str, str] = {}
    for key, names in _CUDA_PARAMETERS.items():
        if key not in parameters:
            continue
        if not names or parameters[key] in names:
            found[key] = parameters[key]
            continue
        number = integer(parameters, key, 0)
        if not 0 <= number < len(names):
            raise invalid(f"unsupported {key} value '{number}' is requested")
        found[key] = names[number]
    return found


def tensorrt_options(parameters: Mapping[str, str]) -> dict[str, str]:
    """The TensorRT provider's options for an accelerator's parameters.

    Raises:
        TisError: INVALID_ARG for a parameter or a precision that does not exist.
    """
    found: dict[str, str] = {}
    for key, value in parameters.items():
        if key == "precision_mode":
            if value not in _PRECISIONS:
                raise invalid(f"unsupported precision mode '{value}' is requested")
            found.update(_PRECISIONS[value])
        elif key in _TENSORRT_NAMES:
            found[_TENSORRT_NAMES[key]] = value
        elif key.startswith("trt_"):
            found[key] = value
        else:
            raise invalid(f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator")
    return found


def _unknown(name: str) -> Exception:
    return invalid(f"unknown Execution Accelerator '{name}' is requested")


def _require(provider: str, available: Sequence[str], what: str) -> None:
    if provider not in available:
        raise unsupported(
            f"{what} needs ONNX Runtime's {provider}, which is not in the installed build (it has: "
            f"{', '.join(available)}); install it with: pip install 'tis[onnx-gpu]', or use KIND_CPU"
        )
