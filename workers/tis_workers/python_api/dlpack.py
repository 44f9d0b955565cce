"""DLPack capsules for tensors on the CPU, BF16 included, for which numpy has no type.

Facts: numpy exports and imports uint16 but refuses bfloat16, and both have the same bytes. The type is one byte of the
capsule's DLTensor: void *data; int32 device type and id; int32 ndim; uint8 code, uint8 bits, uint16 lanes; … Decision: let
numpy do the work as for uint16 and change that byte on the way out and in. The layout is DLPack's ABI, which does not change.
"""

import ctypes
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_CODE_AT: Final = 20
_UNSIGNED: Final = 1
_BFLOAT: Final = 4
_DEVICE_AT: Final = 8
#: Kinds of devices; memory of the machine that a GPU reaches, too, counts as the CPU's.
CPU: Final = 1
GPU: Final = 2
PINNED: Final = 3
_NAME: Final = b"dltensor"

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = (ctypes.py_object, ctypes.c_char_p)


class _Capsule:
    """A bare capsule as numpy takes it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (CPU, 0)


def exported(array: npt.NDArray[Any], *, is_bf16: bool) -> Any:
    """A capsule of an array; of BF16 where `array` holds its bits as uint16.

    Raises:
        BufferError: the array cannot be exported.
    """
    capsule = array.__dlpack__()
    if is_bf16:
        _code(capsule).value = _BFLOAT
    return capsule


def imported(source: Any) -> tuple[npt.NDArray[Any], bool]:
    """The array that a capsule, or an object with `__dlpack__`, stands for, and whether it is BF16 as uint16.

    Raises:
        BufferError, RuntimeError, TypeError: the tensor is none that numpy can take.
    """
    if hasattr(source, "__dlpack__"):
        source = source.__dlpack__()
    code = _code(source)
    is_bf16 = code.value == _BFLOAT
    if is_bf16:
        code.value = _UNSIGNED
    return np.from_dlpack(_Capsule(source)), is_bf16


def device_of(source: Any) -> int:
    """The kind of device that a capsule, or an object with `__dlpack_device__`, lies on: `CPU`, `GPU` or another.

    Raises:
        TypeError: it is neither.
    """
    if hasattr(source, "__dlpack_device__"):
        return int(source.__dlpack_device__()[0])
    if hasattr(source, "__dlpack__"):
        return CPU
    return ctypes.c_int32.from_address(_address(source) + _DEVICE_AT).value


def _code(capsule: Any) -> ctypes.c_uint8:
    return ctypes.c_uint8.from_address(_address(capsule) + _CODE_AT)


def _address(capsule: Any) -> int:
    try:
        address: int = _pointer_of(capsule, _NAME)
    except ValueError as error:
        raise TypeError(f"not a DLPack capsule that is still unused: {capsule!r}") from error
    return address
