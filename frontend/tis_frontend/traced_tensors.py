"""The tensors of a traced request (level TENSORS): copied while the request passes, written as text once it is answered.

The text is Triton's: elements with commas between them, floats with six digits, BOOL as 1 and 0, strings in quotes, and
nothing for FP16 and BF16. Unlike there, INT8 and UINT8 are numbers (Triton writes them as characters, of which many are
none in JSON), and what stands in strings is escaped.
"""

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Final

import numpy as np

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import OutputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan

#: Bytes of tensors that are kept of one request. Data of a tensor that goes beyond are left out; its name, shape and
#: datatype are not. Triton has no bound, but here whoever writes the text keeps other requests waiting.
MOST_BYTES: Final = 1 << 20

_QUEUE_INPUT: Final = "TENSOR_QUEUE_INPUT"
_BACKEND_OUTPUT: Final = "TENSOR_BACKEND_OUTPUT"
_NOTHING: Final = memoryview(b"")
_FLOATS: Final = ("FP32", "FP64")
#: Of these Triton writes no elements.
_WITHOUT_TEXT: Final = ("FP16", "BF16")

#: Bytes that a request names, by the number of the client's region (0 for its own block), begin and size.
View = Callable[[int, int, int], memoryview]


class TracedTensors:
    """The tensors of one request, in the order in which they came by."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._kept: list[tuple[str, str, str, tuple[int, ...], bytes]] = []
        self._left_bytes = MOST_BYTES

    def add_inputs(self, plan: Plan, view: View) -> None:
        """The inputs as the client sent them."""
        for ref in plan.inputs:
            spec = self._spec.inputs[ref.index]
            if prod(ref.shape):
                # As in Triton, an input without elements leaves nothing, while an output does.
                fits = ref.size_bytes <= self._left_bytes
                data = view(ref.region, ref.start, ref.size_bytes) if fits else _NOTHING
                self._add(_QUEUE_INPUT, spec.name, spec.datatype, ref.shape, data)

    def add_outputs(self, outputs: Iterable[OutputTensor], plan: Plan, view: View) -> None:
        """The outputs as the backend gave them."""
        places = {self._spec.outputs[place.index].name: place for place in plan.placements}
        for tensor in outputs:
            data = tensor.data
            if tensor.placed and tensor.name in places:
                place = places[tensor.name]
                data = view(place.region, place.start, min(place.size_bytes, self._left_bytes))
                data = data[: _size_bytes(tensor.datatype, prod(tensor.shape), data)]
            self._add(_BACKEND_OUTPUT, tensor.name, tensor.datatype, tensor.shape, data)

    def _add(self, activity: str, name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> None:
        if len(data) > self._left_bytes or datatype in _WITHOUT_TEXT:
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
    if datatype in _WITHOUT_TEXT:
        return ""
    elements = np.frombuffer(data, NUMPY[datatype]).tolist()
    return ",".join(map("{:g}".format if datatype in _FLOATS else str, elements))


def _size_bytes(datatype: str, count: int, data: memoryview) -> int:
    """How many bytes of a place so many elements take; 0 where the place ends before."""
    element_bytes = ELEMENT_BYTES[datatype]
    at = count * element_bytes
    if not element_bytes:
        for _ in range(count):
            if at + 4 > len(data):
                return 0
            at += 4 + int.from_bytes(data[at : at + 4], "little")
    return at if at <= len(data) else 0


def _elements(data: bytes) -> Iterator[bytes]:
    """The elements of a BYTES tensor that has been checked."""
    at = 0
    while at < len(data):
        start = at + 4
        at = start + int.from_bytes(data[at:start], "little")
        yield data[start:at]
