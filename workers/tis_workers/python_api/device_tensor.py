"""Tensors that a model has on a GPU: taken and handed on by DLPack, copied to the machine's memory when they are sent.

The library that the model itself works with does it, torch or cupy, so that the copy waits for the stream that makes the
tensor. Inputs of requests always lie in the machine's memory, as with Triton's FORCE_CPU_ONLY_INPUT_TENSORS.
"""

import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis_workers.python_api.errors import TritonModelException

_NOT_CONTIGUOUS: Final = (
    "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are supported."
)


class DeviceArray:
    """An array on a GPU, of torch or cupy."""

    def __init__(self, source: Any) -> None:
        """Take what `source` stands for, a capsule or anything with `__dlpack__`, without a copy.

        Raises:
            TritonModelException: the model uses neither library, or it refuses; the tensor is not contiguous.
        """
        torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
        library: Any = torch or cupy
        if library is None:
            raise TritonModelException(
                "a DLPack tensor on a GPU is taken with torch or cupy, and the model has imported neither"
            )
        self._torch: Any = torch
        try:
            self.array: Any = library.from_dlpack(source)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise TritonModelException(f"unable to take the DLPack tensor: {error}") from error
        contiguous = self.array.is_contiguous() if torch is not None else self.array.flags.c_contiguous
        if not contiguous:
            raise TritonModelException(_NOT_CONTIGUOUS)
        self.is_bf16: Final = torch is not None and self.array.dtype == torch.bfloat16
        self.shape: Final = tuple(int(dim) for dim in self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of its elements; BF16 as uint16, the same bits."""
        if self.is_bf16:
            return np.dtype(np.uint16)
        if self._torch is None:
            own: np.dtype[Any] = np.dtype(self.array.dtype)
            return own
        like: npt.NDArray[Any] = self._torch.empty(0, dtype=self.array.dtype).numpy()
        return like.dtype

    def on_host(self) -> npt.NDArray[Any]:
        """A copy in the machine's memory, once what computes the tensor has ended."""
        if self._torch is None:
            return np.asarray(self.array.get())
        array = self.array.detach()
        if self.is_bf16:
            array = array.view(self._torch.int16)
        return np.asarray(array.cpu().numpy()).view(self.dtype)
