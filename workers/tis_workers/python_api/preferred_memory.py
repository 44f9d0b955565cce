"""`PreferredMemory`, and what stands for a trace: where a model wants another one's outputs.

Outputs lie in shared memory on the CPU in any case, so that this is a wish that changes nothing. Triton fails a request that
prefers a GPU where there is none.
"""

from enum import Enum

from tis_workers.python_api.errors import fits


class MemoryType(Enum):
    """Kinds of memory, with Triton's numbers for the Python backend."""

    TRITONSERVER_MEMORY_GPU = 0
    TRITONSERVER_MEMORY_CPU = 1

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return f"MemoryType.{self.name}"


class PreferredMemory:
    """Where outputs should lie."""

    __slots__ = ("device_id", "memory_type")

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        if not (fits(preferred_memory_type, MemoryType) and fits(preferred_device_id, int)):
            raise TypeError(
                "PreferredMemory takes TRITONSERVER_MEMORY_CPU or TRITONSERVER_MEMORY_GPU, and a device id (int); got "
                f"{preferred_memory_type!r} and {preferred_device_id!r}"
            )
        self.memory_type = preferred_memory_type
        self.device_id = preferred_device_id


class InferenceTrace:
    """A request's trace, to be handed on with requests that a model makes. Nothing of it travels so far."""

    __slots__ = ()
