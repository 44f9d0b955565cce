"""`Tensor`: a name, a numpy array and the datatype it travels as."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis_workers.own_blocks import OwnBlock
from tis_workers.python_api import dlpack
from tis_workers.python_api.device_tensor import DeviceArray
from tis_workers.python_api.errors import TritonModelException, fits

Array = npt.NDArray[Any]

#: Datatypes by the dtype that is theirs alone; uint16 is never BF16 here.
_DATATYPES: Final = {
    **{dtype: name for name, dtype in NUMPY.items() if name != "BF16"},
    np.dtype(np.object_): "BYTES",
}


class Tensor:
    """A tensor of a request or a response."""

    __slots__ = ("_array", "_datatype", "_name")

    def __init__(self, name: str, array: Array, /) -> None:
        if not (fits(name, str) and fits(array, np.ndarray)):
            raise TypeError(f"Tensor takes a name (str) and a numpy array; got {name!r} and {array!r}")
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        datatype = _DATATYPES.get(array.dtype) or datatype_of(array.dtype)
        if datatype is None:
            raise TritonModelException("NumPy dtype is not supported.")
        self._name = name
        # A model may go on to change what it made a view of.
        self._array = array if array.flags.c_contiguous else np.array(array, order="C")
        self._datatype = datatype

    def name(self) -> str:
        """The name."""
        return self._name

    def as_numpy(self) -> Array:
        """The array itself, no copy. An input's is the model's own, to write to and to keep. BYTES are objects of type bytes.

        Raises:
            TritonModelException: the tensor is BF16, for which numpy has no type.
        """
        if self._datatype == "BF16":
            raise TritonModelException(
                "Tensor dtype is BF16 and cannot be converted to NumPy. Use to_dlpack() and from_dlpack() instead."
            )
        return self._array

    def shape(self) -> list[int]:
        """The shape, batch dimension included."""
        return list(self._array.shape)

    def triton_dtype(self) -> str:
        """The protocol's name of the datatype. Triton 2.51 raises TypeError here."""
        return self._datatype

    def is_cpu(self) -> bool:
        """True: the tensor lies in the machine's memory."""
        return True

    def to_dlpack(self) -> Any:
        """A DLPack capsule of the tensor, without a copy."""
        return self.__dlpack__()

    def __dlpack__(self, **_options: Any) -> Any:
        """What libraries call: the same as `to_dlpack`.

        Raises:
            TritonModelException: the tensor holds strings.
        """
        if self._datatype == "BYTES":
            raise TritonModelException("DLPack does not have support for string tensors.")
        return dlpack.exported(self._array, is_bf16=self._datatype == "BF16")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    @staticmethod
    def from_dlpack(name: str, tensor: Any, /) -> "Tensor":
        """A tensor from a DLPack capsule or from anything that has `__dlpack__`.

        Raises:
            TritonModelException: it lies neither on the CPU nor on a GPU, is not contiguous, or its type has no datatype.
        """
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        try:
            device = dlpack.device_of(tensor)
            if device == dlpack.GPU:
                return DeviceTensor(name, DeviceArray(tensor))
            if device not in (dlpack.CPU, dlpack.PINNED):
                raise TritonModelException(f"DLDevice type {device} is not support by Python backend.")
            array, is_bf16 = dlpack.imported(tensor)
        except (BufferError, RuntimeError, ValueError) as error:
            raise TritonModelException(f"unable to take the DLPack tensor '{name}': {error}") from error
        if not array.flags.c_contiguous:
            raise TritonModelException(
                "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are supported."
            )
        if not is_bf16:
            return Tensor(name, array)
        return tensor_of(name, array, "BF16")

    def parts(self) -> tuple[str, Array, str]:
        """Name, array and datatype, for the server."""
        return self._name, self._array, self._datatype


class OutputTensor(Tensor):
    """A tensor whose array was allocated where answers are read from."""

    __slots__ = ("own",)

    own: OwnBlock

    @staticmethod
    def over(own: OwnBlock, name: str, array: Array, datatype: str) -> "OutputTensor":
        """One over a block."""
        tensor = OutputTensor.__new__(OutputTensor)
        tensor._name, tensor._array, tensor._datatype, tensor.own = name, array, datatype, own  # noqa: SLF001
        return tensor


class DeviceTensor(Tensor):
    """A tensor on a GPU, which is copied to the machine's memory when it is sent."""

    __slots__ = ("_device",)

    def __init__(self, name: str, device: DeviceArray) -> None:
        datatype = "BF16" if device.is_bf16 else datatype_of(device.dtype)
        if datatype is None:
            raise TritonModelException("NumPy dtype is not supported.")
        self._name, self._datatype, self._device = name, datatype, device

    def as_numpy(self) -> Array:
        """Not for this one.

        Raises:
            TritonModelException: always.
        """
        raise TritonModelException("Tensor is stored in GPU and cannot be converted to NumPy.")

    def shape(self) -> list[int]:
        """The shape, batch dimension included."""
        return list(self._device.shape)

    def is_cpu(self) -> bool:
        """False."""
        return False

    def __dlpack__(self, **options: Any) -> Any:
        """What its library gives, which heeds the stream that the caller names."""
        return self._device.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self._device.array.__dlpack_device__()
        return (int(kind), int(number))

    def parts(self) -> tuple[str, Array, str]:
        """Name, array on the host and datatype, for the server."""
        return self._name, self._device.on_host(), self._datatype


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The protocol's datatype of a numpy type; None where there is none."""
    return "BYTES" if dtype.kind == "S" else _DATATYPES.get(dtype)


def tensor_of(name: str, array: Array, datatype: str) -> Tensor:
    """A tensor whose parts are known to be good; BF16 as its bits in uint16."""
    tensor = Tensor.__new__(Tensor)
    tensor._name, tensor._array, tensor._datatype = name, array, datatype  # noqa: SLF001 - its other constructor
    return tensor
