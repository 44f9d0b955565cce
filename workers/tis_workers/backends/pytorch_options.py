"""What the parameters of a config say to PyTorch, named as in Triton's PyTorch backend, and making it so in this process."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from tis.config.proto import ModelConfig
from tis.contracts.model_spec import ModelSpec
from tis.errors import internal, invalid
from tis.log import get_logger

_TRUE: Final = ("true", "1")
_FALSE: Final = ("false", "0")

_log = get_logger(__name__)


@dataclass(frozen=True)
class Options:
    """How a model is run; None leaves PyTorch's own default."""

    optimized_execution: bool = True
    inference_mode: bool = True
    cudnn: bool = True
    clean_cache: bool = False
    jit_profiling: bool | None = None
    jit_executor: bool | None = None
    tensor_fuser: bool | None = None
    #: 0: the instance's share of the cores.
    intra_op_threads: int = 0
    inter_op_threads: int = 0

    def guard(self) -> Any:
        """What runs happen inside of, one after another: without gradients, and by default without what they would need."""
        return torch.inference_mode() if self.inference_mode else torch.no_grad()

    def apply(self, threads: int) -> None:
        """Set what holds for a whole process, which is all that the instance has: threads, and how TorchScript runs."""
        torch.set_num_threads(self.intra_op_threads or threads)
        wanted = self.inter_op_threads or threads
        if torch.get_num_interop_threads() != wanted:
            # In a process of another program, which has used them before, they are what they are.
            with contextlib.suppress(RuntimeError):
                torch.set_num_interop_threads(wanted)
        torch.backends.cudnn.enabled = self.cudnn
        internals = torch._C  # noqa: SLF001 - libtorch's switches have no other name in Python
        internals._set_graph_executor_optimize(self.optimized_execution)  # noqa: SLF001
        if self.jit_profiling is not None:
            internals._jit_set_profiling_mode(self.jit_profiling)  # noqa: SLF001
        if self.jit_executor is not None:
            internals._jit_set_profiling_executor(self.jit_executor)  # noqa: SLF001
        if self.tensor_fuser is not None:
            internals._jit_set_texpr_fuser_enabled(self.tensor_fuser)  # noqa: SLF001


def read_options(parameters: Mapping[str, str], model: str) -> Options:
    """The options that a config asks for.

    Raises:
        TisError: INVALID_ARG where a value is neither a boolean nor, for threads, a whole number.
    """
    said = {name: _boolean(parameters, name) for name in _BOOLEANS}
    cudnn, uncudnn = said["ENABLE_CUDNN"], said["DISABLE_CUDNN"]
    if said["ENABLE_WEIGHT_SHARING"]:
        _log.info(
            "model '%s': ENABLE_WEIGHT_SHARING has no effect: instances are processes, and each has its own weights",
            model,
        )
    return Options(
        optimized_execution=not said["DISABLE_OPTIMIZED_EXECUTION"],
        inference_mode=said["INFERENCE_MODE"] is not False,
        cudnn=cudnn is not False and not uncudnn,
        clean_cache=bool(said["ENABLE_CACHE_CLEANING"]),
        jit_profiling=said["ENABLE_JIT_PROFILING"],
        jit_executor=said["ENABLE_JIT_EXECUTOR"],
        tensor_fuser=said["ENABLE_TENSOR_FUSER"],
        intra_op_threads=_threads(parameters, "INTRA_OP_THREAD_COUNT") or _threads(parameters, "NUM_THREADS"),
        inter_op_threads=_threads(parameters, "INTER_OP_THREAD_COUNT") or _threads(parameters, "NUM_INTEROP_THREADS"),
    )


def load_operations(spec: ModelSpec) -> None:
    """Load the libraries of `model_operations`; a relative path may begin in the model's directory.

    Raises:
        TisError: INTERNAL for one that cannot be loaded.
    """
    for name in ModelConfig.FromString(spec.config).model_operations.op_library_filename:
        beside = Path(spec.model_path) / name
        try:
            torch.ops.load_library(str(beside) if beside.exists() else name)
        except Exception as error:
            raise internal(f"unable to load the operations in '{name}' for model '{spec.name}': {error}") from error


_BOOLEANS: Final = (
    "DISABLE_OPTIMIZED_EXECUTION",
    "INFERENCE_MODE",
    "ENABLE_CUDNN",
    "DISABLE_CUDNN",
    "ENABLE_CACHE_CLEANING",
    "ENABLE_WEIGHT_SHARING",
    "ENABLE_JIT_PROFILING",
    "ENABLE_JIT_EXECUTOR",
    "ENABLE_TENSOR_FUSER",
)


def _boolean(parameters: Mapping[str, str], name: str) -> bool | None:
    text = parameters.get(name)
    if text is None:
        return None
    if text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    raise invalid(f"failed to convert '{text}' to boolean value: parameter '{name}' is 'true' or 'false'")


def _threads(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "0")
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"failed to convert '{text}' to integral number: parameter '{name}' is a number of threads")
    return int(text)
