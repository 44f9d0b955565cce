"""A version that serves gets other instances without being loaded anew: which stay, which come, and when it is done.

Those that are new come first, each serving as soon as it is up; when all are there, those that are to go finish what they
have and end. Where one cannot come, those that came go again and everything is as it was (behaviour of Triton's
`TritonModel::UpdateInstanceGroup`). Processes that stay know nothing of it: they keep the threads and, in what a Python
model is told, the name that they began with.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from tis.config.in_place import kept_instances
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError
from tis.repository.definition import ModelDefinition
from tis.supervisor.instances import InstancePlace

if TYPE_CHECKING:
    from tis.supervisor.version import ModelVersion


class InstanceChange:
    """One change of one version."""

    def __init__(self, version: "ModelVersion", definition: ModelDefinition, spec: ModelSpec) -> None:
        """`spec` is that of the version with other instances, `definition` what it comes from."""
        self.version: Final = version
        self.definition: Final = definition
        self.spec: Final = spec
        #: Why it cannot be, in Triton's form; empty where it can.
        self.failure = ""
        self._settled: Callable[[], None] = lambda: None
        #: In the order of the new specification.
        self._places: list[InstancePlace] = []
        self._new: list[InstancePlace] = []
        self._awaited: set[InstancePlace] = set()
        self._begun = False

    @property
    def is_settled(self) -> bool:
        """True where all instances are there, or one cannot come."""
        return self._begun and (bool(self.failure) or not self._awaited)

    def begin(self, settled: Callable[[], None]) -> None:
        """Start what is missing; `settled` is called whenever it may have settled, perhaps at once."""
        self._begun = True
        self._settled = settled
        instances = self.version.instances
        instances.abandon("another change of the model's instances came first")
        before = [place for place in instances if not place.given_up]
        kept = kept_instances([place.spec for place in before], self.spec.instances)
        try:
            self._places = [
                before[index] if index is not None else self.version.further_place(self.spec, number)
                for number, index in enumerate(kept)
            ]
        except TisError as error:
            self._fail(f"{error.code.spoken}: {error.message}")
            return
        self._new = [place for place in self._places if place not in before]
        self._awaited = set(self._new)
        for place in self._new:
            instances.add(place, partial(self._came, place))
        self._settled()

    def _came(self, place: InstancePlace, failure: str) -> None:
        self._awaited.discard(place)
        if failure:
            self._fail(place.refusal or f"Internal: the process that loaded model '{self.version.name}' {failure}")
        elif self.failure:
            self.version.instances.remove(place, lambda _: None)
        else:
            self._settled()

    def _fail(self, reason: str) -> None:
        if not self.failure:
            self.failure = reason
            self._settled()

    def commit(self) -> None:
        """It has succeeded, and so has all that belongs to it: the version is what was asked for."""
        for place, spec in zip(self._places, self.spec.instances, strict=True):
            self.version.rename(place, spec)
        self.version.adopt(self.definition, self.spec)
        self.version.instances.arrange(self._places)

    def revert(self) -> None:
        """It cannot be: everything as it was."""
        there = self.version.instances.everywhere
        for place in self._new:
            if place in there and not self.version.instances.is_leaving(place):
                self.version.instances.remove(place, lambda _: None)
        self._awaited.clear()
