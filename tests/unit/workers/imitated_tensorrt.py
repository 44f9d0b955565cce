"""TensorRT and PyTorch as far as the backend calls them, on the CPU: an engine whose y is x twice and whose n counts rows.

They check what the real libraries check: addresses are there before an execution, shapes lie within the profile that was set,
and results may only be read once the stream has been waited for.
"""

import contextlib
import ctypes
import enum
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

PLAN = b"a plan"
#: Least, best and most rows of each profile.
PROFILES = ((1, 2, 4), (1, 8, 16))
_FEATURES = 3


class _Numbered(enum.Enum):
    INPUT = 1
    OUTPUT = 2
    LINEAR = 3
    STATIC = 4
    ON_PROFILE_CHANGE = 5


# ---- PyTorch -----------------------------------------------------------------------------------------------------------


class Tensor:
    """Bytes; those that lie on the GPU cannot be read here."""

    def __init__(self, array: npt.NDArray[np.uint8], device: str) -> None:
        self._array, self._device = array, device

    def data_ptr(self) -> int:
        return int(self._array.ctypes.data)

    def numpy(self) -> npt.NDArray[np.uint8]:
        assert self._device == "cpu", "a tensor on the GPU has no numpy array"
        return self._array

    def __getitem__(self, part: slice) -> "Tensor":
        return Tensor(self._array[part], self._device)

    def copy_(self, other: "Tensor", *, non_blocking: bool) -> None:
        assert non_blocking
        assert self._device != other._device
        Stream.current.later(lambda: np.copyto(self._array, other._array))


class Stream:
    """Does nothing until it is waited for, and then all in order."""

    current: "Stream"

    def __init__(self) -> None:
        self.cuda_stream = id(self)
        self._work: list[Any] = []

    def later(self, work: Any) -> None:
        self._work.append(work)

    def synchronize(self) -> None:
        work, self._work = self._work, []
        for each in work:
            each()


@contextlib.contextmanager
def _stream(stream: Stream) -> Iterator[None]:
    Stream.current = stream
    yield


def _empty(count: int, *, dtype: str, device: str = "cpu", pin_memory: bool = False) -> Tensor:
    assert dtype == "uint8"
    assert pin_memory == (device == "cpu")
    return Tensor(np.full(count, 0xEE, np.uint8), device)


TORCH = SimpleNamespace(
    uint8="uint8",
    empty=_empty,
    cuda=SimpleNamespace(
        init=lambda: None,
        Stream=Stream,
        stream=_stream,
        get_device_capability=lambda: (9, 0),
        is_available=lambda: True,
    ),
)


# ---- TensorRT ----------------------------------------------------------------------------------------------------------


class Context:
    """Of one profile."""

    def __init__(self) -> None:
        self._profile: int | None = None
        self._rows = 0
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}

    def set_optimization_profile_async(self, number: int, stream: int) -> bool:
        assert stream
        self._profile = number
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "x"
        assert self._profile is not None
        least, _, most = PROFILES[self._profile]
        self._rows = shape[0]
        return shape[1:] == (_FEATURES,) and least <= shape[0] <= most

    def set_tensor_address(self, name: str, address: int) -> None:
        assert address
        self._addresses[name] = address

    def set_output_allocator(self, name: str, allocator: Any) -> None:
        self._allocators[name] = allocator

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1] if name == "n" else [self._rows, _FEATURES]

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == Stream.current.cuda_stream
        rows = self._rows
        # The real one asks for memory while it executes, and tells the shape when it knows it.
        found = self._allocators["n"].reallocate_output_async("n", 0, 8 * rows, 256, stream)

        def compute() -> None:
            _at(self._addresses["y"], "<f4", rows * _FEATURES)[:] = 2 * _at(
                self._addresses["x"], "<f4", rows * _FEATURES
            )
            _at(found, "<i8", rows)[:] = np.arange(rows)

        Stream.current.later(compute)
        Stream.current.later(lambda: self._allocators["n"].notify_shape("n", [rows]))
        return True


def _at(address: int, dtype: str, count: int) -> npt.NDArray[Any]:
    size_bytes = np.dtype(dtype).itemsize * count
    return np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address)).view(dtype)


class Engine:
    """Input x, outputs y and n."""

    num_io_tensors = 3
    num_optimization_profiles = len(PROFILES)

    def get_tensor_name(self, index: int) -> str:
        return "xyn"[index]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="INT64" if name == "n" else "FLOAT")

    def is_shape_inference_io(self, name: str) -> bool:
        return name == "none"

    def get_tensor_format(self, name: str) -> _Numbered:
        assert name in "xyn"
        return _Numbered.LINEAR

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1] if name == "n" else [-1, _FEATURES]

    def get_tensor_mode(self, name: str) -> _Numbered:
        return _Numbered.INPUT if name == "x" else _Numbered.OUTPUT

    def get_tensor_profile_shape(self, name: str, number: int) -> list[list[int]]:
        assert name == "x"
        return [[rows, _FEATURES] for rows in PROFILES[number]]

    def create_execution_context(self, strategy: _Numbered) -> Context:
        assert strategy in (_Numbered.STATIC, _Numbered.ON_PROFILE_CHANGE)
        return Context()


class Runtime:
    """Knows one plan."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        if plan == PLAN:
            return Engine()
        self._logger.log(Severity.ERROR, "magic tag does not match")
        return None


class Severity(enum.Enum):
    """How bad a message is."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3


class Base:
    """What the backend derives from."""


TRT = SimpleNamespace(
    ILogger=Base,
    IOutputAllocator=Base,
    Logger=Severity,
    Runtime=Runtime,
    TensorFormat=_Numbered,
    TensorIOMode=_Numbered,
    ExecutionContextAllocationStrategy=_Numbered,
    init_libnvinfer_plugins=lambda *_: True,
)
