"""Tensors of PyTorch from arrays and back, without a copy where memory is the CPU's; through pinned memory to a GPU."""

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from tis.errors import internal, invalid
from tis.log import get_logger
from tis_workers.batch.parts import Array, Arrays, Part
from tis_workers.wire_form import LARGE_STRIDED_BYTES

#: Protocol names of PyTorch's types.
DATATYPES: Final = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.uint16: "UINT16",
    torch.uint32: "UINT32",
    torch.uint64: "UINT64",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.bfloat16: "BF16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}

_log = get_logger(__name__)


def tensor_of(array: Array, *, is_bf16: bool) -> Any:
    """A tensor over the array's own memory; of BF16 where the array holds its bits as uint16."""
    if array.flags.writeable:
        tensor = torch.from_numpy(array)
    else:
        with warnings.catch_warnings():
            # Memory of a client that may only be read; a model that writes to its inputs gets copies.
            warnings.simplefilter("ignore")
            tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if is_bf16 else tensor


def array_of(tensor: Any) -> Array:
    """An array over a tensor's memory on the CPU, contiguous if it is small; BF16 as its bits in uint16."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    # An imaginary part may be a view with a flag instead of negated values, of which numpy knows nothing.
    tensor = tensor.resolve_neg() if tensor.is_neg() else tensor
    if tensor.nbytes < LARGE_STRIDED_BYTES:
        tensor = tensor.contiguous()
    array: Array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def strings_of(name: str, array: Array) -> list[str]:
    """The elements of a BYTES tensor of one dimension.

    Raises:
        TisError: INVALID_ARG for bytes that are not UTF-8, as PyTorch's strings in Python must be.
    """
    try:
        return [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise invalid(f"input '{name}' holds bytes that are not UTF-8: {error}") from None


def array_of_strings(strings: Sequence[str]) -> npt.NDArray[np.object_]:
    """A BYTES tensor of one dimension."""
    array = np.empty(len(strings), np.object_)
    array[:] = [text.encode() for text in strings]
    return array


# ---- GPUs --------------------------------------------------------------------------------------------------------------


def register(memory: memoryview) -> None:
    """Let the GPU copy from shared memory by itself, as from pinned memory; once in a worker's life.

    Where the machine does not allow so much locked memory, tensors go through pinned memory of PyTorch's own instead.
    """
    address = np.frombuffer(memory, np.uint8).ctypes.data
    code = int(torch.cuda.cudart().cudaHostRegister(address, len(memory), 0))
    if code:
        _log.warning(
            "the pool of %d bytes cannot be registered with CUDA (error %d): inputs are copied once more",
            len(memory),
            code,
        )


def pinned_batch(requests: Sequence[Part]) -> Arrays:
    """The batch's inputs, gathered into pinned memory, from where a GPU copies by itself."""
    batch: dict[str, Array] = {}
    for name, first in requests[0].inputs.items():
        arrays = [request.inputs[name] for request in requests]
        if first.dtype == np.object_:
            batch[name] = np.concatenate(arrays)
            continue
        shape = (sum(array.shape[0] for array in arrays), *first.shape[1:])
        batch[name] = np.concatenate(arrays, out=_pinned(shape, torch.from_numpy(first[:0]).dtype).numpy())
    return batch


def on_gpu(tensor: Any, device: Any) -> Any:
    """A copy on a GPU; the copy may still be under way, and whatever runs there waits for it."""
    if not tensor.is_pinned():
        # The driver would do the same for memory that is not pinned, and make this thread wait.
        pinned = _pinned(tuple(tensor.shape), tensor.dtype)
        pinned.copy_(tensor)
        tensor = pinned
    return tensor.to(device, non_blocking=True)


def from_gpu(tensors: Sequence[Any]) -> list[Any]:
    """Copies in pinned memory of those that lie on GPUs, all made at once and waited for once; others as they are."""
    copies: list[Any] = []
    devices: set[Any] = set()
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor) or tensor.device.type == "cpu":
            copies.append(tensor)
            continue
        copy = _pinned(tuple(tensor.shape), tensor.dtype)
        copies.append(copy.copy_(tensor, non_blocking=True))
        devices.add(tensor.device)
    for device in devices:
        torch.cuda.current_stream(device).synchronize()
    return copies


def _pinned(shape: tuple[int, ...], dtype: Any) -> Any:
    """Pinned memory, which PyTorch keeps for the next time: setting it aside is slow."""
    try:
        return torch.empty(shape, dtype=dtype, pin_memory=True)
    except RuntimeError as error:
        raise internal(f"no room in pinned memory for a tensor of shape {list(shape)}: {error}") from error
