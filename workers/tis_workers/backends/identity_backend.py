"""The `identity` backend, as Triton's own of that name: OUTPUT<n> is INPUT<n>. For tests and examples.

Parameters of the config that it knows: `execute_delay_ms`, `instance_wise_delay_multiplier`, `creation_delay_sec`.
"""

import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import to_config
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.validation import shape_text
from tis.errors import TisError, invalid, unsupported
from tis_workers.backends.base import Backend, LoadContext, Timings
from tis_workers.output import Parameters
from tis_workers.request import WorkRequest

_INPUT: Final = "INPUT"
_OUTPUT: Final = "OUTPUT"

#: What Triton's backend puts on each response, to show that a response may have parameters.
_PARAMETERS: Final[Parameters] = {
    "param0": "an example string parameter",
    "param1": 42,
    "param2": False,
    "param3": 123.123,
}


def load(context: LoadContext) -> "IdentityBackend":
    """Check the config and wait as long as it says.

    Raises:
        TisError: INVALID_ARG, in Triton's words, where inputs and outputs are no pairs.
    """
    spec = context.spec
    _check_pairs(spec)
    delay_ms = whole_number(spec, "execute_delay_ms")
    # In Triton the delay of an instance grows with its number; the first two have the same.
    multiplier = whole_number(spec, "instance_wise_delay_multiplier") * spec.instances.index(context.instance)
    time.sleep(whole_number(spec, "creation_delay_sec"))
    return IdentityBackend(delay_ms * max(multiplier, 1) / 1e3)


class IdentityBackend(Backend):
    """Copies inputs to outputs."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def execute(self, requests: list[WorkRequest]) -> Timings:
        """Each request by itself, as Triton's backend does."""
        start_ns = time.monotonic_ns()
        time.sleep(self._delay_s)
        for request in requests:
            try:
                request.respond(self._outputs(request), dict(_PARAMETERS))
            except TisError as error:
                request.fail(error, verbatim=True)
        return Timings(start_ns, start_ns, time.monotonic_ns())

    def _outputs(self, request: WorkRequest) -> dict[str, npt.NDArray[Any]]:
        outputs: dict[str, npt.NDArray[Any]] = {}
        for output in request.wanted:
            name = _INPUT + output.name.removeprefix(_OUTPUT)
            array = request.inputs.get(name)
            if array is None:
                expected = self.spec.inputs_by_name[name]
                if not expected.optional:
                    raise unsupported(f"failed to get input '{name}'")
                array = _zeros(expected, request.batch_size)
            outputs[output.name] = array
        return outputs


def whole_number(spec: ModelSpec, parameter: str) -> int:
    """A parameter of the config that is a number of 0 or more; 0 where it is absent.

    Raises:
        TisError: INVALID_ARG for anything else.
    """
    text = spec.parameters.get(parameter, "0")
    if not (text.isascii() and text.isdigit()):
        raise invalid(
            f"parameter '{parameter}' of model '{spec.name}' must be a whole number of 0 or more; got '{text}'"
        )
    return int(text)


def _zeros(expected: TensorSpec, batch_size: int) -> npt.NDArray[Any]:
    """What stands in an output whose input was left out: variable dimensions are 1."""
    dims = expected.shape if expected.reshape is None else expected.reshape
    shape = (*([batch_size] if batch_size else []), *(1 if dim == -1 else dim for dim in dims))
    if expected.datatype != "BYTES":
        return np.zeros(shape, NUMPY[expected.datatype])
    empty = np.empty(shape, np.object_)
    empty.fill(b"")
    return empty


def _check_pairs(spec: ModelSpec) -> None:
    if len(spec.inputs) != len(spec.outputs):
        raise invalid("model configuration must have equal input/output pairs")
    for given, answered in zip(spec.inputs, spec.outputs, strict=True):
        if not given.name.startswith(_INPUT):
            raise invalid(f"expected input name to follow INPUT<index> pattern, got '{given.name}'")
        if not answered.name.startswith(_OUTPUT):
            raise invalid(f"expected output name to follow OUTPUT<index> pattern, got '{answered.name}'")
    for answered in spec.outputs:
        given_spec = spec.inputs_by_name.get(_INPUT + answered.name.removeprefix(_OUTPUT))
        if given_spec is None:
            raise invalid("expected input and output indices to match")
        if given_spec.datatype != answered.datatype:
            raise invalid(
                "expected input and output datatype to match, got "
                f"{to_config(given_spec.datatype)} and {to_config(answered.datatype)}"
            )
        ours, theirs = (each.shape if each.reshape is None else each.reshape for each in (given_spec, answered))
        if ours != theirs:
            raise invalid(f"expected input and output shape to match, got {shape_text(ours)} and {shape_text(theirs)}")
