"""What of a model that serves may go on when it is loaded again: pure decisions; who carries them out is `loader.py`."""

import dataclasses
from collections.abc import Iterable

from tis.config.defaults import with_instance_groups
from tis.config.in_place import updates_in_place, with_count
from tis.config.resolve import Surroundings
from tis.contracts.resources import Given, check_resources
from tis.errors import invalid, not_found
from tis.repository.definition import ModelDefinition
from tis.repository.snapshot import Snapshot
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.instance_change import InstanceChange
from tis.supervisor.served_model import ServedModel
from tis.supervisor.version import ModelVersion, State


def differs(model: ServedModel, files: Snapshot, definition: ModelDefinition) -> bool:
    """True where the files are not those that the model was loaded from; a config that says the same does not count."""
    if model.files is None or model.definition is None:
        return True
    difference = model.files.difference(files)
    if difference.rest or difference.versions:
        return True
    return difference.config and bool(model.definition.config != definition.config)


def going_on(
    model: ServedModel, files: Snapshot, definition: ModelDefinition, numbers: Iterable[int]
) -> list[ModelVersion]:
    """Versions that need not be loaded anew: they serve, and what their instances are made of is as it was."""
    if model.files is None or model.definition is None:
        return []
    if not updates_in_place(model.definition.config, definition.config):
        return []
    difference = model.files.difference(files)
    served = [model.versions[number] for number in numbers if number in model.versions]
    return [each for each in served if each.state is State.READY and not difference.concerns(each.version)]


def changed_count(model: ServedModel | None, name: str, group: str, count: int, where: Surroundings) -> ModelDefinition:
    """The definition of a model that serves, with another count of instances in one of its groups.

    Raises:
        TisError: NOT_FOUND for a model that is not there or does not serve, in Triton's words; INVALID_ARG for a group that
            it does not have.
    """
    if model is None or (not model.versions and not model.failure):
        raise not_found(f"Request for unknown model: '{name}' is not found")
    if model.definition is None or not model.serves:
        raise not_found(f"Request for unknown model: '{name}' has no available versions")
    if any(isinstance(version, EnsembleVersion) for version in model.versions.values()):
        raise invalid(f"model '{name}' is an ensemble, which has no instances; change those of the models of its steps")
    config = with_instance_groups(
        model.definition.config,
        gpu_count=where.gpu_count,
        backend_uses_gpu=where.backend_uses_gpu,
        unsupported=where.unsupported_gpus,
    )
    return dataclasses.replace(model.definition, config=with_count(config, group, count))


def check_changes(changes: Iterable[InstanceChange], versions: Iterable[ModelVersion], given: Given) -> None:
    """Rejects instances that could never run beside all others, where the operator limits resources.

    Raises:
        TisError: INVALID_ARG, in Triton's words.
    """
    changes = list(changes)
    changed = [change.version for change in changes]
    others = [each for each in versions if each.started and each.state is not State.UNAVAILABLE and each not in changed]
    specs = [*(each.spec for each in others), *(change.spec for change in changes)]
    check_resources([instance for spec in specs for instance in spec.instances], given)
