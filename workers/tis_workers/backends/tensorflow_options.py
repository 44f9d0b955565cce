"""What a model's config asks of TensorFlow: parameters as Triton's tensorflow backend names them, read and checked.

Plain data; TensorFlow is not imported here.

============================  ========================================================================================
`TF_NUM_INTRA_THREADS`        threads of one operation; else the instance's share of the cores
`TF_NUM_INTER_THREADS`        operations that run at once; else 1; below 0 all run in the thread that asks
`TF_USE_PER_SESSION_THREADS`  whether the session has threads of its own, which is one and the same here
`TF_GRAPH_TAG`                tag of the graph in a SavedModel; else `serve`
`TF_SIGNATURE_DEF`            signature of a SavedModel; else `serving_default`, or the only one that there is
`TF_INIT_OPS_FILE`            JSON file that names operations to run once, `{"init_ops": ["init"]}`
`MAX_SESSION_SHARE_COUNT`     checked only: instances are processes, and share no session
============================  ========================================================================================

Of `--backend-config=tensorflow,KEY=VALUE` these: `gpu-memory-fraction` and `allow-soft-placement`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tis.config.proto import ModelConfig
from tis.contracts.model_spec import ModelSpec
from tis.errors import invalid, unsupported
from tis_workers.backends.base import LoadContext

SERVE_TAG: Final = "serve"

_TRUE: Final = ("true", "on", "1", "yes")
_FALSE: Final = ("false", "off", "0", "no")


@dataclass(frozen=True, slots=True)
class Options:
    """What one model instance asks for."""

    intra_op_threads: int
    inter_op_threads: int = 1
    per_session_threads: bool = True
    tag: str = SERVE_TAG
    #: Empty: the usual one.
    signature: str = ""
    #: Operations to run once, by name.
    init_ops: tuple[str, ...] = ()
    #: `optimization.graph.level`, which is XLA's; None where the config does not say.
    graph_level: int | None = None
    auto_mixed_precision: bool = False
    #: Libraries of operations to load before the model.
    libraries: tuple[str, ...] = ()
    #: How much of the GPU's memory the instance takes at once; 0: as much as it needs, when it needs it.
    gpu_memory_fraction: float = 0.0
    #: Operations that have no implementation for the GPU run on the CPU.
    soft_placement: bool = True


def options(context: LoadContext) -> Options:
    """Read the config of a model.

    Raises:
        TisError: INVALID_ARG for a value that is none, in Triton's words; UNSUPPORTED for TF-TRT, which TensorFlow has no
            more.
    """
    spec = context.spec
    config = ModelConfig.FromString(spec.config)
    intra = _integer(spec, "TF_NUM_INTRA_THREADS", 0)
    if intra < 0:
        raise invalid(
            f"parameter 'TF_NUM_INTRA_THREADS' must be non-negative number for TensorFlow model '{spec.name}'; got {intra}"
        )
    if _integer(spec, "MAX_SESSION_SHARE_COUNT", 1) <= 0:
        raise invalid(f"parameter 'MAX_SESSION_SHARE_COUNT' must be positive number for TensorFlow model '{spec.name}'")
    return Options(
        intra_op_threads=intra or context.threads,
        inter_op_threads=_integer(spec, "TF_NUM_INTER_THREADS", 0) or 1,
        per_session_threads=_boolean("TF_USE_PER_SESSION_THREADS", spec.parameters),
        tag=spec.parameters.get("TF_GRAPH_TAG") or SERVE_TAG,
        signature=spec.parameters.get("TF_SIGNATURE_DEF", ""),
        init_ops=_init_ops(context),
        graph_level=config.optimization.graph.level if config.optimization.HasField("graph") else None,
        auto_mixed_precision=_auto_mixed_precision(config, on_gpu=context.instance.kind != "CPU"),
        libraries=tuple(config.model_operations.op_library_filename),
        gpu_memory_fraction=_fraction(context.backend_config.get("gpu-memory-fraction", "")),
        soft_placement=_boolean("allow-soft-placement", context.backend_config),
    )


def _auto_mixed_precision(config: ModelConfig, *, on_gpu: bool) -> bool:
    accelerators = config.optimization.execution_accelerators
    if accelerators.cpu_execution_accelerator:
        raise invalid("CPU Execution Accelerator is not supported in TensorFlow backend")
    if not on_gpu:
        return False
    names = [each.name for each in accelerators.gpu_execution_accelerator]
    for name in names:
        if name == "tensorrt":
            raise unsupported("the execution accelerator 'tensorrt' is not in TensorFlow any more; leave it out")
        # `gpu_io` spares copies of its own; here tensors go to the GPU once whether or not it is asked for.
        if name not in ("auto_mixed_precision", "gpu_io"):
            raise invalid(f"unknown Execution Accelerator '{name}' is requested")
    return "auto_mixed_precision" in names


def _init_ops(context: LoadContext) -> tuple[str, ...]:
    """The operations that `TF_INIT_OPS_FILE` lists; the version's file goes before the model's."""
    name = context.spec.parameters.get("TF_INIT_OPS_FILE", "")
    if not name:
        return ()
    found = [folder / name for folder in (context.version_dir, Path(context.spec.model_path))]
    path = next((each for each in found if each.is_file()), None)
    if path is None or Path(name).name != name:
        raise invalid(
            f"parameter 'TF_INIT_OPS_FILE' of model '{context.spec.name}' must name a file in the directory of the version "
            f"or of the model; got '{name}'"
        )
    try:
        names = json.loads(path.read_text())["init_ops"]
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            return tuple(names)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise invalid(f"'{path}' of model '{context.spec.name}' must be JSON of the form {{\"init_ops\": [\"NAME\"]}}")


def _integer(spec: ModelSpec, parameter: str, default: int) -> int:
    text = spec.parameters.get(parameter, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise invalid(f"parameter '{parameter}' of model '{spec.name}' must be an integer, got '{text}'") from None


def _boolean(name: str, given: Mapping[str, str]) -> bool:
    """A setting that is on unless it is switched off."""
    text = given.get(name, "").lower()
    if text in _FALSE:
        return False
    if text and text not in _TRUE:
        raise invalid(f"'{name}' must be true or false, got '{text}'")
    return True


def _fraction(text: str) -> float:
    try:
        fraction = float(text or 0)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise invalid(f"--backend-config=tensorflow,gpu-memory-fraction must be from 0 to 1, got '{text}'")
    return fraction
