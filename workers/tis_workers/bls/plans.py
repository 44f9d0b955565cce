"""Plans of the requests that a model has made: it mostly makes the same ones again and again, with other data."""

from typing import Final

from tis.contracts.inference import InputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis_workers.bls.call import Ask, planned

_MOST: Final = 64
_ALIGNMENT_BYTES: Final = 64

#: An input: name, datatype, shape and bytes.
Form = tuple[str, str, tuple[int, ...], int]
_Key = tuple[tuple[str, int, int], tuple[str, ...], tuple[Form, ...]]


class Plans:
    """The plans made last, by all that they depend on."""

    def __init__(self) -> None:
        self._known: dict[_Key, Plan] = {}

    def of(self, ask: Ask, spec: ModelSpec, forms: list[Form]) -> Plan:
        """The plan of a request, whose inputs lie one after another in a block, each aligned.

        Raises:
            TisError: INTERNAL, the request does not fit the model.
        """
        if ask.parameters or ask.sequence_id or ask.flags or ask.timeout_us or ask.priority:
            return planned(ask, spec, _placed(forms))
        key = (spec.identity, tuple(ask.outputs), tuple(forms))
        plan = self._known.get(key)
        if plan is None:
            plan = planned(ask, spec, _placed(forms))
            if len(self._known) == _MOST:
                self._known.clear()
            self._known[key] = plan
        return plan


def aligned(size_bytes: int) -> int:
    """Bytes that a tensor takes in a block."""
    return -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


def _placed(forms: list[Form]) -> list[InputTensor]:
    placed = []
    at = 0
    for name, datatype, shape, size_bytes in forms:
        placed.append(InputTensor(name, datatype, shape, size_bytes, at))
        at += aligned(size_bytes)
    return placed
