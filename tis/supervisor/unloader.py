"""Unloading models: versions finish what they have in flight and end, once nobody sends them more.

Also what makes room for a newer load of the same version goes this way.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from tis.log import get_logger
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.models import Models
from tis.supervisor.publication import Publication
from tis.supervisor.served_model import ServedModel
from tis.supervisor.version import UNLOADED, ModelVersion, State

_log = get_logger(__name__)


class Unloader:
    """Lets models go."""

    def __init__(self, models: Models, publication: Publication) -> None:
        self._models: Final = models
        self._publication: Final = publication

    def meant(self, name: str) -> tuple[str, ...]:
        """The identifiers of all models that a client means by a name."""
        return self._models.meant(name)

    def unload(self, name: str, done: Callable[[], None], *, dependents: bool = False) -> None:
        """Let a model go; `done` is called when no new request reaches it. What it has in flight is finished."""
        model = self._models.get(name)
        if model is None:
            done()
            return
        if model.busy:
            model.afterwards.append(lambda: self.unload(name, done, dependents=dependents))
            return
        model.explicit = False
        steps = _steps_of(model) if dependents else set()
        self._let_go(model)
        for step in sorted(steps):
            self._let_go_unneeded(step)
        self._models.changed()
        leaving = list(model.leaving)
        answered = False

        def answer() -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._publication.when_everywhere(done)

        def look() -> None:
            if not any(version.state is State.UNLOADING and not version.is_busy for version in leaving):
                answer()

        for version in leaving:
            settled = version.on_settled

            def retired(settled: Callable[[], None] = settled) -> None:
                settled()
                look()

            version.on_settled = retired
        look()

    def _let_go(self, model: ServedModel) -> None:
        old = list(model.versions.values())
        model.versions = {}
        model.files = None
        # That a load has failed is not made good by an unload.
        model.failure, model.unread = "", None
        # One that never served says why, now as before.
        model.unloaded.update({each.version: UNLOADED if each.load_s else each.reason for each in old})
        self.leave(model, old)

    def _let_go_unneeded(self, name: str) -> None:
        """Unload the model of a step unless somebody asked for it, or another ensemble needs it."""
        model = self._models.get(name)
        if model is None or model.explicit or model.busy:
            return
        if any(name in _steps_of(other) for other in self._models if other.versions):
            return
        steps = _steps_of(model)
        self._let_go(model)
        for step in sorted(steps):
            self._let_go_unneeded(step)

    def leave(
        self, model: ServedModel, versions: list[ModelVersion], all_gone: Callable[[], None] = lambda: None
    ) -> None:
        """Let versions finish what they have and end, once nobody sends them more; `all_gone` is called when all have."""
        left = set(versions)

        def left_is(version: ModelVersion) -> None:
            left.discard(version)
            if not left:
                all_gone()

        for version in versions:
            if version.state is not State.READY:
                version.discard(partial(left_is, version))
                continue
            version.state = State.UNLOADING
            model.leaving.append(version)

            def gone(version: ModelVersion = version) -> None:
                model.leaving.remove(version)
                model.drop_sent_files()
                _log.info("successfully unloaded '%s' version %d", version.name, version.version)
                self._models.tidy()
                left_is(version)

            self._later(version, gone)

    def _later(self, version: ModelVersion, gone: Callable[[], None]) -> None:
        self._models.publish()
        self._publication.when_everywhere(lambda: version.leave(gone))

    def scheduler_began(self) -> None:
        """A scheduler has begun: what the one before had of versions that leave is lost."""
        for model in self._models:
            for version in model.leaving:
                version.retired()


def _steps_of(model: ServedModel) -> set[str]:
    """Identifiers of the models of an ensemble's steps."""
    if model.definition is None:
        return set()
    where: dict[str, str] = {}
    for version in model.versions.values():
        if isinstance(version, EnsembleVersion):
            where.update(version.where)
    names = {step.model_name for step in model.definition.config.ensemble_scheduling.step}
    return {where.get(name, name) for name in names}
