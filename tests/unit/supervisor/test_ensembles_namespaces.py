"""Which models the steps of ensembles mean where repositories are namespaces."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.harness.namespaces import write_namespaces
from tis.config.proto import ModelConfig
from tis.config.resolve import Surroundings
from tis.repository.definition import read_definition
from tis.repository.layout import model_directory
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.ensembles import follow_steps
from tis.supervisor.machine import Machine
from tis.supervisor.version import ModelVersion, State


class World:
    """Versions by identifier; nothing is ever started."""

    def __init__(self, folder: Path) -> None:
        self.first, self.second = (str(each) for each in write_namespaces(folder))
        self.versions: dict[str, ModelVersion] = {}
        for namespace in (self.first, self.second):
            self.add(namespace, "both").state = State.READY
        self.ensemble = cast("EnsembleVersion", self.add(self.first, "ensemble_1", EnsembleVersion))

    def add(self, namespace: str, name: str, kind: type[ModelVersion] = ModelVersion) -> ModelVersion:
        host = cast("Any", SimpleNamespace(machine=Machine(2, ())))
        definition = read_definition(model_directory(Path(namespace) / name, namespace=namespace))
        version = kind(host, definition, 1, Surroundings())
        self.versions[version.name] = version
        return version

    def follow(self, *meant: str, unloaded: tuple[str, ...] = ()) -> None:
        """Look at the ensemble while these models bear the name of its step."""
        names = {"ensemble_1": (self.ensemble.name,)} | ({"both": meant} if meant else {})
        known = [each for name, each in self.versions.items() if name not in unloaded]
        follow_steps(known, {}, [], unloaded, (), names)

    @property
    def step(self) -> tuple[str, str]:
        """The model that runs, and the namespace that the config shows."""
        assert self.ensemble.spec.ensemble
        config = ModelConfig.FromString(self.ensemble.spec.config)
        return self.ensemble.spec.ensemble.steps[0].model, config.ensemble_scheduling.step[0].model_namespace


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_own_namespace_s_model_runs_and_the_only_other_one_once_it_has_gone(world: World) -> None:
    own, other = f"{world.first}::both", f"{world.second}::both"
    for meant, namespace in (((own, other), world.first), ((other,), world.second), ((other, own), world.first)):
        world.follow(*meant)
        assert world.ensemble.state is State.READY
        assert world.step == (f"{namespace}::both", namespace)


def test_a_step_that_somebody_has_unloaded_is_told_as_unloaded(world: World) -> None:
    own = f"{world.first}::both"
    world.follow(own)
    world.follow(unloaded=(own,))
    assert (world.ensemble.state, world.ensemble.reason) == (State.UNAVAILABLE, "unloaded")


def test_a_step_that_means_nothing_or_several_others_is_an_error(world: World) -> None:
    text = f"Invalid argument: ensemble {world.ensemble.name} contains models that are not available or ambiguous: both"
    for meant in ((), ("/x::both", "/y::both")):
        world.follow(*meant)
        assert (world.ensemble.state, world.ensemble.reason) == (State.UNAVAILABLE, text)
