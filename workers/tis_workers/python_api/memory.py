"""`PreferredMemory`: where a model wants the outputs of models that it calls."""

from enum import Enum

from tis_workers.python_api.errors import fits


class MemoryType(Enum):
    """Memory of the machine or of a GPU, by the numbers of Triton's Python backend."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return f"MemoryType.{self.name}"


class PreferredMemory:
    """A wish, which need not be granted: here outputs always lie in the machine's memory."""

    __slots__ = ("_device_id", "_kind")

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        if not (fits(preferred_memory_type, MemoryType) and fits(preferred_device_id, int)):
            raise TypeError(
                "PreferredMemory takes TRITONSERVER_MEMORY_CPU or TRITONSERVER_MEMORY_GPU, and the number of a device; got "
                f"{preferred_memory_type!r} and {preferred_device_id!r}"
            )
        self._kind = preferred_memory_type
        self._device_id = preferred_device_id
