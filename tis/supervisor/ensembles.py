"""Which ensembles are ready: those whose steps are. Looked at whenever a model version has become ready or unavailable."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, invalid
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.version import ModelVersion, State


def follow_steps(
    versions: Iterable[ModelVersion],
    failed: Mapping[str, str],
    unread: Iterable[str],
    unloaded: Collection[str] = (),
    coming: Collection[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Let every ensemble follow the state of its steps' models, those it contains first.

    Args:
        versions: all model versions.
        failed: models without any version, and why.
        unread: those of them of which not even the config could be taken: for an ensemble they do not exist.
        unloaded: models that somebody has unloaded.
        coming: models whose directories are being read to load them.
        names: where repositories are namespaces, the identifiers of the models that a name may mean.
    """
    models: dict[str, list[ModelVersion]] = {name: [] for name in failed if name not in set(unread)}
    ensembles: list[EnsembleVersion] = []
    for version in versions:
        models.setdefault(version.name, []).append(version)
        if isinstance(version, EnsembleVersion):
            version.find_steps(names or {})
            ensembles.append(version)
    # An ensemble may be a step of another one: what changes one may change the next.
    changed = True
    while changed:
        changed = any(_follow(each, models, failed, unloaded, coming) for each in ensembles)


def _follow(
    ensemble: EnsembleVersion,
    models: Mapping[str, list[ModelVersion]],
    failed: Mapping[str, str],
    unloaded: Collection[str],
    coming: Collection[str],
) -> bool:
    try:
        ready = _ready_models(ensemble, models, failed, coming)
    except TisError as error:
        if ensemble.completed and any(name in unloaded for name, _ in ensemble.steps):
            return ensemble.lose_step()
        return ensemble.lose(error)
    return ensemble.follow(ready) if ready is not None else False


def _ready_models(
    ensemble: EnsembleVersion,
    models: Mapping[str, list[ModelVersion]],
    failed: Mapping[str, str],
    coming: Collection[str],
) -> dict[str, ModelSpec] | None:
    """The newest ready version of each step's model; None while one of them loads.

    Raises:
        TisError: INVALID_ARG for a step that there is no ready version for, in Triton's words.
    """
    for name, _ in ensemble.steps:
        if name not in models and name not in coming:
            step = ensemble.step_name(name)
            raise invalid(f"ensemble {ensemble.name} contains models that are not available or ambiguous: {step}")
    last = _circle(ensemble.name, ensemble.name, models, set())
    if last is not None:
        circle = f"{ensemble.name} -> ... -> {last} -> {ensemble.name}"
        raise invalid(f"circular dependency between ensembles: {circle}")
    found: dict[str, ModelSpec] = {}
    for name, required in ensemble.steps:
        known = models.get(name, [])
        ready = [version for version in known if version.state is State.READY]
        if not ready:
            if name in coming or any(version.state is State.LOADING for version in known):
                return None
            raise _nothing_loaded(ensemble.name, name, known, failed)
        if required >= 0 and all(version.version != required for version in ready):
            raise invalid(
                f"ensemble '{ensemble.name}' depends on '{name}' whose required version {required} is not loaded."
            )
        found[name] = max(ready, key=lambda version: version.version).spec
    return found


def _nothing_loaded(ensemble: str, name: str, versions: list[ModelVersion], failed: Mapping[str, str]) -> TisError:
    """Why an ensemble cannot run: a model has no ready version."""
    where = f"ensemble '{ensemble}' depends on '{name}' which "
    for version in versions:
        if isinstance(version, EnsembleVersion) and not version.listed:
            reason = version.reason.partition(": ")[2]
            return invalid(f"{where}is not valid. Model '{name}' failed with error: {reason}")
    reasons = (
        "".join(f"version {version.version} is at UNAVAILABLE state: {version.reason};" for version in versions)
        or failed.get(name, "").partition(": ")[2]
    )
    return invalid(f"{where}has no loaded version. Model '{name}' loading failed with error: {reasons}")


def _circle(start: str, name: str, models: Mapping[str, list[ModelVersion]], seen: set[str]) -> str | None:
    """The last model of a chain of steps that leads back to its start; None where none does."""
    for version in models.get(name, ()):
        if not isinstance(version, EnsembleVersion):
            continue
        for step, _ in version.steps:
            if step == start:
                return name
            if step not in seen:
                seen.add(step)
                last = _circle(start, step, models, seen)
                if last is not None:
                    return last
    return None
