"""The tensors of a traced request (level TENSORS): copied while the request passes, written as text once it is answered.

The text is Triton's: elements with commas between them, floats with six digits, BOOL as 1 and 0, strings in quotes, and
nothing for FP16 and BF16. Unlike there, INT8 and UINT8 are numbers (Triton writes them as characters, of which many are
none in JSON), and what stands in strings is escaped.
"""

from collections.abc import Iterator
from math import prod
from typing import Final

from tis.contracts import messages as m
from tis.contracts.inference import OutputTensor

#: Bytes of tensors that are kept of one request. Data of a tensor that goes beyond are left out; its name, shape and
#: datatype are not. Triton has no bound, but here whoever writes the text keeps other requests waiting.
MOST_BYTES: Final = 1 << 20

_QUEUE_INPUT: Final = "TENSOR_QUEUE_INPUT"
_BACKEND_OUTPUT: Final = "TENSOR_BACKEND_OUTPUT"
_NOTHING: Final = memoryview(b"")
_INTEGERS: Final = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
}
_FLOATS: Final = {"FP32": "f", "FP64": "d"}


class TracedTensors:
    """The tensors of one request, in the order in which they came by."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, str, str, tuple[int, ...], bytes]] = []
        self._left_bytes = MOST_BYTES

    def add_input(self, name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> None:
        """An input as the client sent it; `data` is empty where they are in a client's region."""
        if prod(shape):
            # As in Triton, an input without elements leaves nothing, while an output does.
            self._add(_QUEUE_INPUT, name, datatype, shape, data)

    def add_output(self, tensor: OutputTensor) -> None:
        """An output as the backend gave it."""
        self._add(_BACKEND_OUTPUT, tensor.name, tensor.datatype, tensor.shape, tensor.data)

    def _add(self, activity: str, name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> None:
        if len(data) > self._left_bytes:
            data = _NOTHING
        self._left_bytes -= len(data)
        self._kept.append((activity, name, datatype, shape, bytes(data)))

    def pieces(self) -> tuple[m.TracedTensor, ...]:
        """What the file is to hold of them."""
        return tuple(
            m.TracedTensor(activity, name, text(datatype, data), ",".join(map(str, shape)), datatype)
            for activity, name, datatype, shape, data in self._kept
        )


def text(datatype: str, data: bytes) -> str:
    """The elements of a tensor as Triton writes them."""
    if datatype == "BYTES":
        return ",".join(f'"{element.decode("utf-8", "replace")}"' for element in _elements(data))
    if datatype == "BOOL":
        return ",".join("1" if each else "0" for each in data)
    if datatype in _INTEGERS:
        return ",".join(map(str, memoryview(data).cast(_INTEGERS[datatype]).tolist()))
    if datatype in _FLOATS:
        return ",".join(map("{:g}".format, memoryview(data).cast(_FLOATS[datatype]).tolist()))
    return ""


def _elements(data: bytes) -> Iterator[bytes]:
    """The elements of a BYTES tensor that has been checked."""
    at = 0
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "little")
        yield data[start:at]
