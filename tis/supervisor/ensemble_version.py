"""The life of one version of an ensemble: it has no instances, and is ready when its steps' models are."""

import time
from collections.abc import Mapping

import msgspec

from tis.config.ensemble_steps import check_steps
from tis.config.labels import check_labels
from tis.config.resolve import resolved
from tis.config.spec import model_spec
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import TisError
from tis.log import get_logger
from tis.supervisor.version import UNLOADED, ModelVersion, State

_log = get_logger(__name__)


class EnsembleVersion(ModelVersion):
    """A version of an ensemble. `ensembles.py` says when its steps are ready and when they are not."""

    @property
    def steps(self) -> list[tuple[str, int]]:
        """Model and version (-1 for the latest) of each step."""
        ensemble = self.spec.ensemble
        return [(step.model, step.version) for step in ensemble.steps] if ensemble is not None else []

    @property
    def listed(self) -> bool:
        """False for one that has never been ready: Triton's index knows its name only."""
        return self.completed

    def follow(self, models: Mapping[str, ModelSpec]) -> bool:
        """All steps are ready. Serve, unless the ensemble does not fit them. True where this has changed anything."""
        if self.state is State.UNLOADING:
            return False
        try:
            spec = self._completed(models)
        except TisError as error:
            return self.lose(self._definition.located(error))
        if self.state is State.READY and spec == self.spec:
            return False
        was_loading = self.state is State.LOADING
        self.spec, self.completed = spec, True
        self.state, self.reason = State.READY, ""
        self.load_s = self.load_s or time.monotonic() - self._started_s
        _log.info("successfully loaded '%s' version %d", self.name, self.version)
        if was_loading:
            self.on_settled()
        return True

    def lose(self, error: TisError) -> bool:
        """A step is missing or does not fit. True where this has changed anything."""
        was_loading = self.state is State.LOADING
        if not self._fall(f"{error.code.spoken}: {error.message}"):
            return False
        _log.error("failed to load '%s' version %d: %s", self.name, self.version, self.reason)
        if was_loading:
            self.on_settled()
        return True

    def lose_step(self) -> bool:
        """Somebody has unloaded a step's model; when it is back, so is the ensemble. True where this has changed anything."""
        return self._fall(UNLOADED)

    def _fall(self, reason: str) -> bool:
        if self.state is State.UNLOADING or (self.state is State.UNAVAILABLE and self.reason == reason):
            return False
        self.state, self.reason = State.UNAVAILABLE, reason
        return True

    def _completed(self, models: Mapping[str, ModelSpec]) -> ModelSpec:
        """The specification: the config says whether the ensemble is decoupled, which its steps decide."""
        config = resolved(self._definition.config, self._surroundings)
        check_labels(config, self._definition.path)
        spec = model_spec(config, version=self.version, model_path=self._definition.path, load=self.load)
        config.model_transaction_policy.decoupled = check_steps(spec, models)
        spec = model_spec(config, version=self.version, model_path=self._definition.path, load=self.load)
        return msgspec.structs.replace(spec, outputs=tuple(_with_labels(spec, each, models) for each in spec.outputs))


def _with_labels(ensemble: ModelSpec, output: TensorSpec, models: Mapping[str, ModelSpec]) -> TensorSpec:
    """An output with the labels of the model that makes it, unless the ensemble has labels of its own for it."""
    if output.label_filename or ensemble.ensemble is None:
        return output
    for step in ensemble.ensemble.steps:
        for name, tensor in step.outputs.items():
            if tensor == output.name:
                model = models[step.model]
                made = model.outputs_by_name[name]
                folder = made.label_folder or model.model_path
                return msgspec.structs.replace(output, label_filename=made.label_filename, label_folder=folder)
    return output
