"""What a model answered: tensors by name, views of shared memory until the result is released."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from tis.client.errors import StaleError
from tis.client.tensors import Array


class Result(Mapping[str, Array]):
    """One response.

    Arrays that have been taken out of it stay what they are; the result itself is of no use once released.
    """

    def __init__(self, head: Mapping[str, Any], arrays: dict[str, Array]) -> None:
        self._head: Final = head
        #: The model and the version that answered, and the request's id.
        self.model: str = head["model"]
        self.version: str = head["version"]
        self.request_id: str = head["request_id"]
        #: Parameters that the model gave its response.
        self.parameters: dict[str, Any] = head["parameters"]
        #: False where more responses to the same request follow.
        self.is_final: bool = head["final"]
        self._arrays: dict[str, Array] | None = arrays

    def __getitem__(self, name: str) -> Array:
        return self._held()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __len__(self) -> int:
        return len(self._held())

    def copy(self, name: str) -> Array:
        """An output as an array of the caller's own.

        Raises:
            StaleError: the result has been released.
        """
        return self._held()[name].copy()

    def torch(self, name: str) -> Any:
        """An output as a torch tensor over the same memory, which stays what it is as long as the tensor is there.

        Raises:
            ImportError: there is no torch.
            StaleError: the result has been released.
            TypeError: torch has no such tensors (BYTES).
        """
        import torch

        array = self._held()[name]
        # With keys, small outputs lie in the message that they came by, which nobody may write to.
        tensor = torch.from_dlpack(array if array.flags.writeable else array.copy())
        datatype = next(output["datatype"] for output in self._head["outputs"] if output["name"] == name)
        return tensor.view(torch.bfloat16) if datatype == "BF16" else tensor

    def release(self) -> None:
        """Give the memory back, or leave that to the last view that was taken out; any number of times."""
        self._arrays = None

    def __enter__(self) -> "Result":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _held(self) -> dict[str, Array]:
        if self._arrays is None:
            raise StaleError("the result has been released")
        return self._arrays
