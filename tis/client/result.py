"""What a model answered: tensors by name, views of shared memory until the result is released."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from tis.client.errors import StaleError
from tis.client.memory import Block
from tis.client.tensors import DTYPES, Array, decode

#: Where an output was to be written: memory of the client's, or an array of the program's.
Place = Block | Array


class Result(Mapping[str, Array]):
    """One response.

    Arrays that have been taken out of it stay what they are; the result itself is of no use once released.
    """

    def __init__(
        self, head: Mapping[str, Any], frames: Sequence[Any], places: Mapping[str, Place], targets: Mapping[str, Array]
    ) -> None:
        """The response that came as `head` and `frames`; `targets` are filled at once.

        Raises:
            ValueError: an output does not fit its target.
        """
        #: The model and the version that answered, and the request's id.
        self.model: str = head["model"]
        self.version: str = head["version"]
        self.request_id: str = head["request_id"]
        #: Parameters that the model gave its response.
        self.parameters: dict[str, Any] = dict(head["parameters"])
        #: False where more responses to the same request follow.
        self.is_final: bool = head["final"]
        #: What the arrays are made of, by name; None once released.
        self._outputs: dict[str, Any] | None = head["outputs"]
        self._frames = frames
        self._places = places
        self._arrays: dict[str, Array] = {}
        if targets:
            self._arrays.update((name, _put(self[name], targets[name])) for name in targets if name in self._outputs)

    def __getitem__(self, name: str) -> Array:
        output = self._held()[name]
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._made(output)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())

    def copy(self, name: str) -> Array:
        """An output as an array of the caller's own.

        Raises:
            StaleError: the result has been released.
        """
        return self[name].copy()

    def torch(self, name: str) -> Any:
        """An output as a torch tensor over the same memory, which stays what it is as long as the tensor is there.

        Raises:
            ImportError: there is no torch.
            StaleError: the result has been released.
            TypeError: torch has no such tensors (BYTES).
        """
        import torch

        array = self[name]
        # With keys, small outputs lie in the message that they came by, which nobody may write to.
        tensor = torch.from_dlpack(array if array.flags.writeable else array.copy())
        return tensor.view(torch.bfloat16) if self._held()[name]["datatype"] == "BF16" else tensor

    def release(self) -> None:
        """Give the memory back, or leave that to the last view that was taken out; any number of times."""
        self._outputs = None
        self._arrays, self._places = {}, {}
        self._frames = ()

    def __enter__(self) -> "Result":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _held(self) -> dict[str, Any]:
        if self._outputs is None:
            raise StaleError("the result has been released")
        return self._outputs

    def _made(self, output: Mapping[str, Any]) -> Array:
        datatype, shape = output["datatype"], output["shape"]
        if "region" not in output:
            return decode(memoryview(self._frames[output["frame"]]), datatype, shape)
        place = self._places[output["name"]]
        dtype = DTYPES.get(datatype)
        if isinstance(place, Block):
            if dtype is not None:
                return place.array(tuple(shape), dtype)
            data = place.bytes[: output["size"]]
        else:
            data = place.reshape(-1).view(np.uint8)[: output["size"]]
        return decode(data, datatype, shape) if dtype is None else data.view(dtype).reshape(shape)


def _put(came: Array, target: Array) -> Array:
    """The beginning of the program's array, with what has come; Raises: ValueError: it does not fit."""
    if came.dtype != target.dtype or came.size > target.size:
        raise ValueError(f"an output of {came.size} x {came.dtype} does not fit {target.size} x {target.dtype}")
    view: Array = target.reshape(-1)[: came.size].reshape(came.shape)
    np.copyto(view, came)
    return view
