"""Sequences that were under way when their model was loaded anew: they stay with the load that has their state. Pure.

Frontends name the newest load in every request, since they know nothing of sequences. A request that goes on with a sequence
of a load before is handed to that one, which is retired but keeps its instances until its sequences have ended or idled out.
Triton's old load is gone at once, and the next request of a sequence is refused for the START that it lacks.
"""

from tis.contracts.messages import Infer
from tis.contracts.model_spec import ModelSpec
from tis.scheduler.scheduling import Scheduling


class Lingering:
    """Retired loads with sequences."""

    def __init__(self) -> None:
        self._loads: dict[tuple[str, int], list[Scheduling]] = {}

    def __bool__(self) -> bool:
        return bool(self._loads)

    def add(self, model: Scheduling) -> None:
        """A load is retired, and another takes its place."""
        if model.spec.sequences is not None:
            model.linger()
            self._loads.setdefault(model.spec.key, []).append(model)

    def remove(self, model: Scheduling) -> None:
        """A load is gone."""
        left = [each for each in self._loads.pop(model.spec.key, []) if each is not model]
        if left:
            self._loads[model.spec.key] = left

    def of(self, infer: Infer, model: Scheduling) -> Scheduling:
        """The load that a request for `model` goes to: the one that has its sequence, where it was checked for the same."""
        wishes = infer.wishes
        if wishes is None or not wishes.sequence_id or wishes.sequence_start or model.has_sequence(wishes.sequence_id):
            return model
        for each in self._loads.get(model.spec.key, ()):
            if each.has_sequence(wishes.sequence_id) and _ask_alike(each.spec, model.spec):
                infer.load = each.spec.load
                return each
        return model


def _ask_alike(one: ModelSpec, other: ModelSpec) -> bool:
    """True where a request that is right for the one is right for the other."""
    return (one.inputs, one.outputs, one.max_batch_size) == (other.inputs, other.outputs, other.max_batch_size)
