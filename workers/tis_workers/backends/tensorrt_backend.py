"""TensorRT engines (`tensorrt`, platform `tensorrt_plan`) on the one GPU that this process sees.

The file is read in `tensorrt_engine.py`, shapes and profiles are in `tensorrt_profiles.py`, the config in
`tensorrt_config.py`, memory in `tensorrt_memory.py`. One execution context a profile, one stream; inputs and results pass
through pinned memory. The parameter `execution_context_allocation_strategy` is Triton's.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tis.config.proto import ModelConfig
from tis.contracts.arrays import NUMPY
from tis.errors import internal, invalid, not_found, unsupported
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend
from tis_workers.request import WorkRequest

try:
    import tensorrt as trt
    import torch
except ImportError as error:
    raise unsupported(
        "the model needs TensorRT and PyTorch, of which one is not installed; install them with: pip install "
        "'tis[tensorrt]'"
    ) from error

from tis_workers.backends.tensorrt_config import completed_config
from tis_workers.backends.tensorrt_engine import logger_of, profiles_of, read_engine, signature_of
from tis_workers.backends.tensorrt_memory import Array, DeviceBuffer
from tis_workers.backends.tensorrt_profiles import chosen, largest_batch, wanted

_STRATEGY: Final = "execution_context_allocation_strategy"
_STRATEGIES: Final = ("STATIC", "ON_PROFILE_CHANGE")
_DEFAULT_FILE: Final = "model.plan"


def load(context: LoadContext) -> "TensorRtBackend":
    """Load the plan of an instance.

    Raises:
        TisError: INVALID_ARG for an instance that is not on a GPU and for a config that does not fit the engine, NOT_FOUND
            without a file, INTERNAL with TensorRT's text where it refuses the file.
    """
    if context.instance.kind != "GPU":
        raise invalid(f"unable to load model '{context.spec.name}', TensorRT backend supports only GPU device")
    return TensorRtBackend(context)


class TensorRtBackend(TensorBackend):
    """One engine with its contexts."""

    def __init__(self, context: LoadContext) -> None:
        name = context.spec.name
        self._name = name
        path = context.version_dir / _filename(context)
        if not path.is_file():
            raise not_found(f"unable to find '{path}' for model '{name}'")
        torch.cuda.init()
        self._logger = logger_of(trt)
        self._runtime, self._engine = read_engine(trt, self._logger, path)
        signature = signature_of(trt, self._engine, name)
        every = profiles_of(self._engine, signature)
        self._profiles = [every[number] for number in wanted(context.instance.profiles, len(every), name)]
        self._proposed = completed_config(context, signature, largest_batch(self._profiles))
        self._outputs = [tensor.name for tensor in signature.outputs]
        self._dtypes = {tensor.name: NUMPY[tensor.datatype] for tensor in (*signature.inputs, *signature.outputs)}
        self._buffers = {tensor: DeviceBuffer(torch, dtype) for tensor, dtype in self._dtypes.items()}
        self._stream = torch.cuda.Stream()
        strategy = _strategy(context)
        self._contexts = {profile.number: self._context(profile.number, strategy) for profile in self._profiles}
        self._sized = _output_allocator(self._buffers)

    def proposed_config(self) -> str:
        """The config with what the engine declares."""
        return self._proposed

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One execution, with the profile that is nearest to the inputs' shapes."""
        shapes = {name: array.shape for name, array in inputs.items()}
        context = self._contexts[chosen(self._profiles, shapes, self._name).number]
        try:
            with torch.cuda.stream(self._stream):
                return self._results(context, inputs, outputs)
        finally:
            # Whatever was begun reads and writes memory that the next batch uses, too.
            self._stream.synchronize()

    def _results(self, context: Any, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """Begin the whole execution. The arrays hold the results once the stream has been waited for."""
        for name, array in inputs.items():
            self._buffers[name].upload(array)
            context.set_tensor_address(name, self._buffers[name].address)
            if not context.set_input_shape(name, array.shape):
                raise invalid(f"trt failed to set binding dimension to {list(array.shape)} for input '{name}'")
        # All that the engine computes needs room, wanted or not.
        for name in self._outputs:
            self._place(context, name)
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise internal(f"unable to enqueue for inference {self._name}: {self._logger.last_error}")
        return {name: self._buffers[name].download(self._shape(context, name)) for name in outputs}

    def _gather(self, requests: list[WorkRequest], *, beside: bool) -> Arrays:
        """The batch, put together in pinned memory where it is whole rows."""
        if self._shaping is not None:
            return super()._gather(requests, beside=beside)
        gathered: dict[str, Array] = {}
        for name, first in requests[0].inputs.items():
            parts = [request.inputs[name] for request in requests]
            batch = self._buffers[name].host((sum(len(part) for part in parts), *first.shape[1:]))
            np.concatenate(parts, out=batch)
            gathered[name] = batch
        return gathered

    def _place(self, context: Any, name: str) -> None:
        """Say where an output goes. One whose shape depends on values is given room when TensorRT knows how much."""
        shape = tuple(context.get_tensor_shape(name))
        if -1 in shape:
            context.set_output_allocator(name, self._sized)
            return
        self._buffers[name].reserve(shape)
        context.set_tensor_address(name, self._buffers[name].address)

    def _shape(self, context: Any, name: str) -> tuple[int, ...]:
        """The shape of a result. Where it depends on values, TensorRT tells it when it has computed it."""
        shape = tuple(context.get_tensor_shape(name))
        if -1 not in shape:
            return shape
        self._stream.synchronize()
        told: tuple[int, ...] = self._sized.shapes[name]
        return told

    def _context(self, profile: int, strategy: Any) -> Any:
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise internal(f"unable to create TensorRT context: {self._logger.last_error}")
        if not context.set_optimization_profile_async(profile, self._stream.cuda_stream):
            raise internal(f"Can not set the specified optimization profile {profile} for {self._name}")
        self._stream.synchronize()
        return context


def _output_allocator(buffers: dict[str, DeviceBuffer]) -> Any:
    """Gives room to outputs whose shapes depend on values, and remembers those shapes."""

    class OutputAllocator(trt.IOutputAllocator):  # type: ignore[misc]  # the library ships no types
        """Called by TensorRT while it executes."""

        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shapes: dict[str, tuple[int, ...]] = {}

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            """Room for so many bytes; torch aligns all that it allocates to 512."""
            del memory, alignment
            return buffers[tensor_name].reserve_bytes(size)

        def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            """The same, for use on the stream, which is this backend's own."""
            del stream
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            """The shape that the output has got."""
            self.shapes[tensor_name] = tuple(shape)

    return OutputAllocator()


def _filename(context: LoadContext) -> str:
    """The plan for this GPU: `cc_model_filenames` may name another one for its compute capability."""
    config = ModelConfig.FromString(context.spec.config)
    major, minor = torch.cuda.get_device_capability()
    named: str = config.cc_model_filenames.get(f"{major}.{minor}", "")
    return named or context.spec.filename or _DEFAULT_FILE


def _strategy(context: LoadContext) -> Any:
    text = context.spec.parameters.get(_STRATEGY, _STRATEGIES[0])
    if text not in _STRATEGIES:
        raise invalid(
            f"Invalid value for '{_STRATEGY}': '{text}' for model instance '{context.instance.name}'. Supported values are "
            "'STATIC' and 'ON_PROFILE_CHANGE'."
        )
    return getattr(trt.ExecutionContextAllocationStrategy, text)
