"""The life of one version of an ensemble: it has no instances, and is ready when its steps' models are."""

import time
from collections.abc import Mapping, Sequence

import msgspec

from tis.config.ensemble_steps import check_steps
from tis.config.labels import check_labels
from tis.config.proto import Message
from tis.config.resolve import resolved
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.namespaces import chosen
from tis.errors import TisError
from tis.log import get_logger
from tis.supervisor.version import UNLOADED, ModelVersion, State

_log = get_logger(__name__)


class EnsembleVersion(ModelVersion):
    """A version of an ensemble. `ensembles.py` says when its steps are ready and when they are not."""

    #: Identifiers of the steps' models by the names that the config gives them, where these are not the same.
    where: Mapping[str, str] = {}

    @property
    def steps(self) -> list[tuple[str, int]]:
        """Model, by its identifier, and version (-1 for the latest) of each step."""
        steps = self._definition.config.ensemble_scheduling.step
        return [(self.where.get(step.model_name, step.model_name), step.model_version or -1) for step in steps]

    def find_steps(self, names: Mapping[str, Sequence[str]]) -> None:
        """Where repositories are namespaces: which models the steps mean, of those that may be meant by each name.

        One that nothing is known by any more means what it meant: then it is known what is missing.
        """
        steps = {step.model_name for step in self._definition.config.ensemble_scheduling.step} if names else ()
        found = {name: chosen(name, names[name], self._definition.namespace) for name in steps if name in names}
        self.where = {**self.where, **found}

    def step_name(self, model: str) -> str:
        """The name that the config gives the model of a step."""
        return next((name for name, identifier in self.where.items() if identifier == model), model)

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
        for step in config.ensemble_scheduling.step:
            # Triton's own use of the field: what users write there is overwritten.
            step.model_namespace = models[self.where.get(step.model_name, step.model_name)].namespace
        config.model_transaction_policy.decoupled = check_steps(self._found(config), models)
        spec = self._found(config)
        return msgspec.structs.replace(spec, outputs=tuple(_with_labels(spec, each, models) for each in spec.outputs))

    def _found(self, config: Message) -> ModelSpec:
        """The specification of a config; its steps know models by their identifiers."""
        spec = self._spec_of(config)
        if spec.ensemble is None or not self.where:
            return spec
        steps = [
            msgspec.structs.replace(step, model=self.where.get(step.model, step.model)) for step in spec.ensemble.steps
        ]
        return msgspec.structs.replace(spec, ensemble=msgspec.structs.replace(spec.ensemble, steps=tuple(steps)))


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
