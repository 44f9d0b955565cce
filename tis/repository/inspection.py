"""Everything that is wrong with repositories, found by the functions that the server loads models with, without serving.

What needs the machine or another process comes from the caller: GPUs, installed backends, and the reading of model files.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tis.config.backends import ENSEMBLE_PLATFORM
from tis.config.completion import needs_completion
from tis.config.ensemble_steps import check_steps
from tis.config.fault import ConfigFault, Place
from tis.config.labels import check_labels
from tis.config.proto import Message
from tis.config.resolve import Surroundings, resolved, with_placement
from tis.config.spec import model_spec
from tis.contracts.model_spec import ModelSignature, ModelSpec
from tis.errors import TisError, not_found, unsupported
from tis.repository.definition import ModelDefinition, examine
from tis.repository.layout import DUPLICATE_REASON, ModelDirectory, scan
from tis.repository.versions import missing_version_texts, require_versions


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that its author may not have meant."""

    severity: Literal["error", "warning"]
    model: str
    message: str
    #: As a path, `input[0].dims`; empty where it is of no field.
    field: str = ""
    expected: str = ""
    #: What is written there; empty for nothing.
    given: str = ""
    file: str = ""
    #: From 1; 0 where it is of no line.
    line: int = 0
    column: int = 0
    #: 0 for all versions.
    version: int = 0


@dataclass(frozen=True)
class Loaded:
    """What a model said of itself."""

    signature: ModelSignature | None
    #: The whole config as the model wants it.
    proposed: Message | None


class Bench(Protocol):
    """Where models are looked at."""

    def surroundings(self, backend: str, /) -> Surroundings:
        """The server and machine, for a backend."""

    def has_backend(self, backend: str, /) -> bool:
        """True where this server has such a backend."""

    @property
    def load(self) -> Callable[[ModelSpec, bool], Loaded] | None:
        """Reads the model file of a specification and lets it complete its config where the second argument says so.

        Raises `TisError`; None where files are not to be read.
        """


@dataclass
class Inspection:
    """What was found."""

    models: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: Models whose configs the model file completes, which was not read.
    incomplete: list[str] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """How many findings of a severity."""
        return sum(1 for finding in self.findings if finding.severity == severity)


def inspect(
    repositories: Iterable[Path], bench: Bench, *, auto_complete: bool = True, config_name: str = ""
) -> Inspection:
    """Looks at every model of the repositories as one server would serve them together."""
    inspection = Inspection()
    repositories = list(repositories)
    try:
        scanned = scan(repositories, config_name=config_name)
    except TisError as error:
        inspection.findings.append(Finding("error", "", error.message))
        return inspection
    for name, paths in scanned.duplicates.items():
        inspection.models.append(name)
        text = f"{DUPLICATE_REASON}: {', '.join(str(path) for path in paths)}"
        inspection.findings.append(Finding("error", name, text))
    looked = [_ModelInspection(each, bench, inspection, auto_complete) for each in scanned.models.values()]
    inspection.models.extend(scanned.models)
    for each in looked:
        each.run()
    by_name = {each.name: each for each in looked}
    for each in looked:
        each.check_steps(by_name)
    if not inspection.models:
        where = ", ".join(str(repository) for repository in repositories)
        inspection.findings.append(Finding("warning", "", f"no models in {where}"))
    inspection.models.sort()
    inspection.findings.sort(key=lambda finding: (finding.model, finding.file, finding.line, finding.column))
    return inspection


class _ModelInspection:
    """One model."""

    def __init__(self, directory: ModelDirectory, bench: Bench, inspection: Inspection, auto_complete: bool) -> None:
        self._directory = directory
        self._bench = bench
        self._inspection = inspection
        self._auto_complete = auto_complete
        self._definition: ModelDefinition | None = None
        self._version = 0
        self._seen: set[tuple[str, str]] = set()
        self._errors = 0
        #: The specifications of its versions, of those that are complete.
        self._specs: dict[int, ModelSpec] = {}

    @property
    def name(self) -> str:
        """The model's."""
        return self._directory.name

    @property
    def spec(self) -> ModelSpec | None:
        """The specification of its newest version, where it is complete."""
        return self._specs[max(self._specs)] if self._specs else None

    def run(self) -> None:
        definition = examine(self._directory, self._report, auto_complete=self._auto_complete)
        self._definition = definition
        self._warn(definition)
        if not definition.written.readable:
            return
        backend = str(definition.config.backend)
        is_ensemble = definition.config.platform == ENSEMBLE_PLATFORM
        if backend and not is_ensemble and not self._bench.has_backend(backend):
            words = f"unable to find backend library for backend '{backend}'"
            text = f"{words}, try specifying runtime on the model configuration"
            self._report(ConfigFault("backend", text, expected="a backend of this server", code=unsupported("").code))
        try:
            versions = require_versions(definition.name, definition.selection)
        except TisError as error:
            self._report(error)
            versions = ()
        if self._bench.load is None or self._errors or is_ensemble:
            self._check_without_file(definition, versions, is_ensemble)
            return
        for self._version in versions:
            self._check_with_file(definition, self._bench.load)

    def _check_without_file(self, definition: ModelDefinition, versions: tuple[int, ...], is_ensemble: bool) -> None:
        for version in versions:
            path = definition.model_file(version)
            if not is_ensemble and definition.config.default_model_filename and not path.exists():
                self._report(not_found(f"unable to find '{path}' for model '{definition.name}'"))
        surroundings = self._bench.surroundings(str(definition.config.backend))
        completes = self._auto_complete and (not definition.config_provided or needs_completion(definition.config))
        if completes and not is_ensemble:
            self._inspection.incomplete.append(definition.name)
            config = with_placement(definition.config, surroundings, self._report)
        else:
            config = resolved(
                definition.config, surroundings, config_provided=definition.config_provided, report=self._report
            )
            self._keep(config, versions)
        check_labels(config, definition.path, self._report)

    def _check_with_file(self, definition: ModelDefinition, load: Callable[[ModelSpec, bool], Loaded]) -> None:
        try:
            config = completed_by_file(definition, self._version, self._bench, load, self._report)
            self._keep(config, (self._version,))
            check_labels(config, definition.path, self._report)
        except TisError as error:
            self._report(error)

    def _keep(self, config: Message, versions: tuple[int, ...]) -> None:
        if not self._errors:
            path = self._directory.path
            self._specs |= {each: model_spec(config, version=each, model_path=path) for each in versions}

    def check_steps(self, models: "dict[str, _ModelInspection]") -> None:
        """Of an ensemble: whether the models of its steps are there and fit, as far as it is known what they are."""
        spec = self.spec
        if spec is None or spec.ensemble is None or self._definition is None:
            return
        known: dict[str, ModelSpec] = {}
        for index, step in enumerate(spec.ensemble.steps):
            at = f"ensemble_scheduling.step[{index}]"
            model = models.get(step.model)
            if model is None:
                text = f"ensemble {spec.name} contains models that are not available or ambiguous: {step.model}"
                self._report(ConfigFault(f"{at}.model_name", text, expected="a model of these repositories"))
            elif step.version >= 0 and model.lacks(step.version):
                needs = f"depends on '{step.model}' whose required version {step.version} is not loaded."
                text = f"ensemble '{spec.name}' {needs}"
                self._report(ConfigFault(f"{at}.model_version", text, expected="a version that is served"))
            elif model.spec is not None:
                known[step.model] = model.spec
        if all(step.model in known for step in spec.ensemble.steps):
            check_steps(spec, known, self._report)

    def lacks(self, version: int) -> bool:
        """True where a version would not be served."""
        return self._definition is not None and version not in self._definition.selection.versions

    def _warn(self, definition: ModelDefinition) -> None:
        texts = (*definition.warnings, *missing_version_texts(definition.name, definition.selection))
        for text in texts:
            self._inspection.findings.append(Finding("warning", definition.name, text))
        source = definition.written.source
        for name in definition.unacted:
            mark = source.mark_of_kind(name)
            self._inspection.findings.append(
                Finding(
                    "warning",
                    definition.name,
                    f"'{name}' has no effect in this version of the server",
                    field=name,
                    file=str(source.path or ""),
                    line=mark.line if mark else 0,
                    column=mark.column if mark else 0,
                )
            )

    def _report(self, error: TisError) -> None:
        fault = error if isinstance(error, ConfigFault) else ConfigFault("", error.message)
        written = self._definition.written if self._definition else None
        if fault.field and written and written.told(fault.field):
            return
        if written and isinstance(error, ConfigFault):
            located = written.source.located(fault)
            fault = located if isinstance(located, ConfigFault) else fault
        key = (fault.field, fault.words)
        if key in self._seen:
            return
        self._seen.add(key)
        self._errors += 1
        place = fault.place or Place("")
        self._inspection.findings.append(
            Finding(
                "error",
                self._directory.name,
                fault.words,
                field=fault.field,
                expected=fault.expected,
                given=fault.given,
                file=str(place.path),
                line=place.line,
                column=place.column,
                version=self._version,
            )
        )


def completed_by_file(
    definition: ModelDefinition,
    version: int,
    bench: Bench,
    load: Callable[[ModelSpec, bool], Loaded],
    report: Callable[[TisError], None],
) -> Message:
    """The config of a version as the server has it once the model file is read.

    Raises:
        TisError: the file cannot be loaded; faults of the config go to `report`.
    """
    surroundings = bench.surroundings(str(definition.config.backend))
    draft = with_placement(definition.config, surroundings, report)
    said = load(model_spec(draft, version=version, model_path=definition.path), surroundings.auto_complete)
    return resolved(
        definition.config,
        surroundings,
        signature=said.signature,
        proposed=said.proposed,
        config_provided=definition.config_provided,
        report=report,
    )
