"""The `square` backend, as Triton's own of that name: n responses that each say n. For tests and examples.

Parameters of the config that it knows: CUSTOM_INFER_DELAY_NS and CUSTOM_OUTPUT_DELAY_NS before each response,
CUSTOM_CANCEL_DELAY_NS once the request was cancelled; of its responses the last CUSTOM_EMPTY_COUNT are not sent, and the
CUSTOM_FAIL_COUNT before those are errors.
"""

from typing import Final

import numpy as np

from tis.contracts.model_spec import ModelSpec
from tis.contracts.validation import shape_text
from tis.errors import Code, TisError, invalid
from tis_workers.backends.base import LoadContext
from tis_workers.backends.repeat_backend import check_datatypes, check_decoupled, check_tensors
from tis_workers.backends.threads import ThreadedBackend
from tis_workers.request import WorkRequest

_INPUTS: Final = (("IN", "INT32"),)
_OUTPUTS: Final = (("OUT", "INT32"),)


def load(context: LoadContext) -> "SquareBackend":
    """Check the config.

    Raises:
        TisError: INVALID_ARG, in Triton's words, where it is not as the backend needs it.
    """
    spec = context.spec
    check_tensors(spec.inputs, _INPUTS, "input")
    check_tensors(spec.outputs, _OUTPUTS, "output")
    for tensor in (*spec.inputs, *spec.outputs):
        if tensor.shape != (1,):
            raise invalid(f"expected {tensor.name} shape to be [1], got {shape_text(tensor.shape)}")
    check_datatypes(spec.inputs, _INPUTS)
    check_datatypes(spec.outputs, _OUTPUTS)
    check_decoupled(spec)
    return SquareBackend(spec)


class SquareBackend(ThreadedBackend):
    """Says a number as often as it is large."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self._infer_delay_s = _number(spec, "CUSTOM_INFER_DELAY_NS") / 1e9
        self._output_delay_s = _number(spec, "CUSTOM_OUTPUT_DELAY_NS") / 1e9
        self._cancel_delay_s = _number(spec, "CUSTOM_CANCEL_DELAY_NS") / 1e9
        self._failing = _number(spec, "CUSTOM_FAIL_COUNT")
        self._empty = _number(spec, "CUSTOM_EMPTY_COUNT")

    def is_slow(self, request: WorkRequest) -> bool:
        """Whether there is a delay, for whatever request."""
        del request
        return bool(self._infer_delay_s or self._output_delay_s or self._cancel_delay_s)

    def answer(self, request: WorkRequest) -> None:
        """Send all responses."""
        given = request.inputs["IN"]
        if given.ndim == 2 and given.shape[0] != 1:
            raise invalid("unexpected shape for IN input")
        count = int(given.ravel()[0])
        outputs = {"OUT": np.full(given.shape, count, np.int32)}
        for number in range(count):
            if self.is_cancelled(request):
                self.sleep(self._cancel_delay_s)
                break
            self.pause(request, self._infer_delay_s)
            left = count - number
            if left <= self._empty:
                continue
            self.pause(request, self._output_delay_s)
            if left <= self._empty + self._failing:
                self.fail(request, TisError(Code.UNKNOWN, "simulated failure"), final=False)
            elif not self.respond(request, outputs):
                return
        self.end(request)


def _number(spec: ModelSpec, parameter: str) -> int:
    """A parameter of the config; 0, as in Triton, where it is absent or no number."""
    text = spec.parameters.get(parameter, "")
    return int(text) if text.isascii() and text.isdigit() else 0
