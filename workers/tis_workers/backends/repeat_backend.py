"""The `repeat` backend, as Triton's own of that name: a response for each element of a request. For tests and examples.

IN (INT32) and DELAY (UINT32) have as many elements as there will be responses; each holds its element as OUT and its number
as IDX, and is sent after its delay in milliseconds. WAIT (UINT32) is how many milliseconds the instance is kept from the next
request, which may be less than the delays take.
"""

from typing import Final

import numpy as np

from tis.contracts.datatypes import to_config
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.validation import shape_text
from tis.errors import TisError, invalid
from tis_workers.backends.base import LoadContext
from tis_workers.backends.threads import ThreadedBackend
from tis_workers.request import WorkRequest

#: Names and datatypes in the order that the config must have.
_INPUTS: Final = (("IN", "INT32"), ("DELAY", "UINT32"), ("WAIT", "UINT32"))
_OUTPUTS: Final = (("OUT", "INT32"), ("IDX", "UINT32"))
_ORDINALS: Final = ("first", "second", "third")


def load(context: LoadContext) -> "RepeatBackend":
    """Check the config.

    Raises:
        TisError: INVALID_ARG, in Triton's words, where it is not as the backend needs it.
    """
    spec = context.spec
    if spec.max_batch_size:
        raise invalid("repeat backend only supports models with max_batch_size == 0")
    check_tensors(spec.inputs, _INPUTS, "input")
    check_tensors(spec.outputs, _OUTPUTS, "output")
    in_, delay, wait = (tensor.shape for tensor in spec.inputs)
    if len(in_) != 1:
        raise invalid(f"expected IN shape to have one dimension, got {shape_text(in_)}")
    if in_ != delay:
        raise _mismatch(in_, delay)
    for name, shape in (("WAIT", wait), *((tensor.name, tensor.shape) for tensor in spec.outputs)):
        if shape != (1,):
            raise invalid(f"expected {name} shape to be [1], got {shape_text(shape)}")
    check_datatypes(spec.inputs, _INPUTS)
    check_datatypes(spec.outputs, _OUTPUTS)
    check_decoupled(spec)
    return RepeatBackend()


class RepeatBackend(ThreadedBackend):
    """Sends the elements of its requests one by one."""

    def is_slow(self, request: WorkRequest) -> bool:
        """Whether there is a delay."""
        return bool(request.inputs["DELAY"].any())

    def kept_s(self, request: WorkRequest) -> float:
        """WAIT."""
        return int(request.inputs["WAIT"][0]) / 1e3

    def answer(self, request: WorkRequest) -> None:
        """Send each element after its delay."""
        elements, delays_ms = request.inputs["IN"], request.inputs["DELAY"]
        if elements.shape != delays_ms.shape:
            raise _mismatch(elements.shape, delays_ms.shape)
        for number, (element, delay_ms) in enumerate(zip(elements.tolist(), delays_ms.tolist(), strict=True)):
            self.pause(request, delay_ms / 1e3)
            if self.is_cancelled(request):
                break
            outputs = {"OUT": np.array([element], np.int32), "IDX": np.array([number], np.uint32)}
            if not self.respond(request, outputs):
                return
        self.end(request)


def _mismatch(elements: tuple[int, ...], delays: tuple[int, ...]) -> TisError:
    return invalid(f"expected IN and DELAY shape to match, got {shape_text(elements)} and {shape_text(delays)}")


def check_decoupled(spec: ModelSpec) -> None:
    """Refuse a model that is not decoupled: its clients could not take several responses.

    Raises:
        TisError: INVALID_ARG.
    """
    if not spec.decoupled:
        raise invalid(
            f"{spec.backend} backend needs 'model_transaction_policy {{ decoupled: true }}' in the config of model "
            f"'{spec.name}'"
        )


def check_tensors(tensors: tuple[TensorSpec, ...], expected: tuple[tuple[str, str], ...], side: str) -> None:
    """Check number and names of inputs or outputs.

    Raises:
        TisError: INVALID_ARG, in Triton's words.
    """
    if len(tensors) != len(expected):
        plural = "s" if len(expected) > 1 else ""
        raise invalid(f"expected {len(expected)} {side}{plural}, got {len(tensors)}")
    for ordinal, tensor, (name, _datatype) in zip(_ORDINALS, tensors, expected, strict=False):
        if tensor.name != name:
            raise invalid(f"expected {ordinal} {side} tensor name to be {name}, got {tensor.name}")


def check_datatypes(tensors: tuple[TensorSpec, ...], expected: tuple[tuple[str, str], ...]) -> None:
    """Check the datatypes of inputs or outputs.

    Raises:
        TisError: INVALID_ARG, in Triton's words.
    """
    for tensor, (name, datatype) in zip(tensors, expected, strict=True):
        if tensor.datatype != datatype:
            raise invalid(f"expected {name} datatype to be {datatype}, got {to_config(tensor.datatype)}")
