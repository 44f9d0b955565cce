"""What an ensemble's configuration says: which step makes which tensor, who reads it, and what of it a request needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import EnsembleSpec, EnsembleStepSpec

#: Prunings kept: clients tend to want the same outputs again and again, and there are as many choices as subsets.
_MOST_PRUNINGS: Final = 64


@dataclass(frozen=True, slots=True)
class Pruning:
    """The part of an ensemble that makes the outputs a request wants."""

    #: Names of the wanted outputs in the order of the answer.
    wanted: tuple[str, ...]
    #: Steps that run, ascending.
    steps: tuple[int, ...]
    #: Who of them reads a tensor; one that nobody reads is not listed.
    readers: Mapping[str, tuple[int, ...]]
    #: The tensors that each of them waits for.
    needs: Mapping[int, frozenset[str]]
    #: Of each of them, the outputs that somebody needs, and the tensors that they are.
    makes: Mapping[int, Mapping[str, str]]


class Graph:
    """The steps of one ensemble and the tensors between them."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec: Final = spec
        self.ensemble: Final = spec.ensemble or EnsembleSpec(())
        self.steps: Final[tuple[EnsembleStepSpec, ...]] = self.ensemble.steps
        #: The step that makes a tensor, and the name of the output there.
        self.producers: Final[dict[str, tuple[int, str]]] = {
            tensor: (number, output)
            for number, step in enumerate(self.steps)
            for output, tensor in step.outputs.items()
        }
        self._prunings: dict[tuple[int, ...] | None, Pruning] = {}

    def pruning(self, outputs: tuple[int, ...] | None) -> Pruning:
        """What runs for a request that wants these of the configured outputs; None for all."""
        found = self._prunings.get(outputs)
        if found is None:
            if len(self._prunings) >= _MOST_PRUNINGS:
                self._prunings.clear()
            found = self._prunings[outputs] = self._pruned(outputs)
        return found

    def upstream(self, step: int) -> frozenset[int]:
        """A step and all whose tensors it depends on."""
        found: set[int] = set()
        open_steps = [step]
        while open_steps:
            number = open_steps.pop()
            if number not in found:
                found.add(number)
                tensors = self.steps[number].inputs.values()
                open_steps += [self.producers[tensor][0] for tensor in tensors if tensor in self.producers]
        return frozenset(found)

    def _pruned(self, outputs: tuple[int, ...] | None) -> Pruning:
        configured = self.spec.outputs
        chosen = range(len(configured)) if outputs is None else outputs
        # Triton's hash table gives them in this order, whatever the order of the request.
        wanted = tuple(configured[index].name for index in sorted(chosen, reverse=True))
        running = sorted({each for tensor in wanted for each in self.upstream(self.producers[tensor][0])})
        readers: dict[str, list[int]] = {}
        for number in running:
            for tensor in set(self.steps[number].inputs.values()):
                readers.setdefault(tensor, []).append(number)
        return Pruning(
            wanted,
            tuple(running),
            {tensor: tuple(steps) for tensor, steps in readers.items()},
            {number: frozenset(self.steps[number].inputs.values()) for number in running},
            {
                number: {
                    output: tensor
                    for output, tensor in self.steps[number].outputs.items()
                    if tensor in readers or tensor in wanted
                }
                for number in running
            },
        )
