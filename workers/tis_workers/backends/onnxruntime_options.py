"""Session and run options of an ONNX Runtime instance, from the model's config and `--backend-config`. Loads nothing.

Execution providers are in `onnxruntime_providers.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort

from tis.config.proto import ModelConfig
from tis.errors import internal, invalid
from tis_workers.backends.base import LoadContext

#: Parameters that are ONNX Runtime's own session configuration keys are passed on under these prefixes.
_SESSION_CONFIG_PREFIXES: Final = ("session.", "ep.", "optimization.")
_SHRINKAGE: Final = "memory.enable_memory_arena_shrinkage"
_GLOBAL_POOL: Final = "enable-global-threadpool"

_GRAPH_LEVELS: Final = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_TRUE: Final = ("true", "1")
_FALSE: Final = ("false", "0")


def session_options(context: LoadContext) -> ort.SessionOptions:
    """Session options from `optimization`, `model_operations` and `parameters`, named as in Triton's onnxruntime backend.

    Threads: as configured, else the instance's share of the cores; its idle threads do not spin, since other processes
    of the server want the core.

    Raises:
        TisError: INVALID_ARG for a value that means nothing; INTERNAL for a library of operations that cannot be loaded.
    """
    config = ModelConfig.FromString(context.spec.config)
    parameters = context.spec.parameters
    options = ort.SessionOptions()
    options.log_severity_level = 3
    intra_op_threads, inter_op_threads = _threads(context)
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = inter_op_threads
    options.graph_optimization_level = _graph_level(config)
    options.execution_mode = _execution_mode(parameters)
    options.enable_cpu_mem_arena = boolean(parameters, "enable_mem_arena", default=True)
    options.enable_mem_pattern = boolean(parameters, "enable_mem_pattern", default=True)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in parameters.items():
        if key.startswith(_SESSION_CONFIG_PREFIXES):
            options.add_session_config_entry(key, value)
    for name in config.model_operations.op_library_filename:
        _register(options, name, context)
    return options


def run_options(context: LoadContext) -> Any:
    """Options of every run; None where a run needs none."""
    text = context.spec.parameters.get(_SHRINKAGE)
    if text is None:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(_SHRINKAGE, text)
    return options


def integer(parameters: Mapping[str, str], key: str, default: int) -> int:
    """A whole number among parameters.

    Raises:
        TisError: INVALID_ARG for anything else.
    """
    text = parameters.get(key)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise invalid(f"parameter '{key}' must be an integer, got '{text}'") from None


def boolean(parameters: Mapping[str, str], key: str, *, default: bool) -> bool:
    """True or false among parameters, as Triton spells them.

    Raises:
        TisError: INVALID_ARG for anything else.
    """
    text = parameters.get(key)
    if text is None:
        return default
    if text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    raise invalid(f"failed to convert '{text}' to boolean value: parameter '{key}' is 'true' or 'false'")


def _threads(context: LoadContext) -> tuple[int, int]:
    """Threads within an operation and across operations; 0 of the second is ONNX Runtime's own choice.

    A global pool is one of each process, since no session shares one with another. As in Triton, the model's own counts do
    not matter then.
    """
    flags = context.backend_config
    counts = flags if boolean(flags, _GLOBAL_POOL, default=False) else context.spec.parameters
    intra_op, inter_op = (integer(counts, f"{kind}_op_thread_count", 0) for kind in ("intra", "inter"))
    if intra_op < 0 or inter_op < 0:
        raise invalid(f"counts of threads must be 0 or more, got {min(intra_op, inter_op)}")
    return intra_op or context.threads, inter_op


def _graph_level(config: Any) -> Any:
    level = config.optimization.graph.level if config.optimization.HasField("graph") else 0
    if level not in _GRAPH_LEVELS:
        raise invalid(f"optimization.graph.level is {level}; ONNX Runtime takes -1, 0, 1 or 2")
    return _GRAPH_LEVELS[level]


def _execution_mode(parameters: Mapping[str, str]) -> Any:
    mode = integer(parameters, "execution_mode", 0)
    if mode not in (0, 1):
        raise invalid(
            f"Invalid configuration value provided. Expected values for execution_mode are 0 or 1 but got {mode} ."
        )
    return ort.ExecutionMode.ORT_PARALLEL if mode else ort.ExecutionMode.ORT_SEQUENTIAL


def _register(options: ort.SessionOptions, name: str, context: LoadContext) -> None:
    """Load a library of custom operations; beyond Triton, a relative path may begin in the model's directory."""
    beside = Path(context.spec.model_path) / name
    try:
        options.register_custom_ops_library(str(beside) if beside.exists() else name)
    except Exception as error:
        raise internal(f"onnx runtime error: unable to load the operations in '{name}': {error}") from error
