"""Ensembles follow the models of their steps: what is ready, what is not and why, in Triton's words."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.harness.ensembles import Ensemble, Step
from tests.harness.models import identity
from tests.harness.repository import one_cpu
from tis.config.resolve import Surroundings
from tis.repository.definition import read_definition
from tis.repository.layout import model_directory
from tis.supervisor.ensemble_version import EnsembleVersion
from tis.supervisor.ensembles import follow_steps
from tis.supervisor.machine import Machine
from tis.supervisor.version import ModelVersion, State

_FP32 = ("FP32", "-1")


class World:
    """Versions of the models of a repository; nothing is ever started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions: dict[str, ModelVersion] = {}
        self.failed: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    def add(self, name: str) -> ModelVersion:
        host = cast("Any", SimpleNamespace(machine=Machine(2, ())))
        definition = read_definition(model_directory(self.folder / name))
        kind = EnsembleVersion if definition.config.HasField("ensemble_scheduling") else ModelVersion
        self.versions[name] = kind(host, definition, 1, Surroundings())
        return self.versions[name]

    def model(self, name: str, state: State = State.LOADING) -> None:
        identity("FP32", ["b", "n"]).write(self.folder, name, max_batch_size=4, extra=one_cpu())
        self.add(name)
        self.set(name, state)

    def ensemble(self, name: str, *models: str, version: int = -1, batch: int = 4) -> None:
        tensors = ["INPUT0", *(f"t{number}" for number in range(1, len(models))), "OUTPUT0"]
        steps = tuple(
            Step(model, {"INPUT0": tensors[number]}, {"OUTPUT0": tensors[number + 1]}, version)
            for number, model in enumerate(models)
        )
        Ensemble({"INPUT0": _FP32}, {"OUTPUT0": _FP32}, steps, batch).write(self.folder, name)
        self.add(name)

    def set(self, name: str, state: State, reason: str = "") -> None:
        self.versions[name].state, self.versions[name].reason = state, reason

    def follow(self) -> None:
        follow_steps(self.versions.values(), self.failed, self.unread)

    def state(self, name: str) -> State:
        return self.versions[name].state

    def listed(self, name: str) -> bool:
        return self.versions[name].listed

    def decoupled(self, name: str) -> bool:
        return self.versions[name].spec.decoupled

    def reason(self, name: str) -> str:
        self.follow()
        assert self.state(name) is State.UNAVAILABLE
        return self.versions[name].reason


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_ensemble_is_ready_when_all_its_steps_are_and_waits_while_one_loads(world: World) -> None:
    world.model("a", State.READY)
    world.model("b")
    world.ensemble("e", "a", "b")
    world.follow()
    assert world.state("e") is State.LOADING
    assert not world.listed("e")
    world.set("b", State.READY)
    world.follow()
    world.follow()
    assert world.state("e") is State.READY
    assert world.listed("e")
    assert world.versions["e"].spec.instances == ()


def test_ensembles_follow_each_other_whatever_their_order(world: World) -> None:
    world.model("a", State.READY)
    for name, inner in (("outer", "middle"), ("middle", "inner"), ("inner", "a")):
        world.ensemble(name, inner)
    world.follow()
    assert [world.state(name) for name in ("outer", "middle", "inner")] == [State.READY] * 3
    world.set("a", State.UNAVAILABLE, "Internal: gone")
    world.follow()
    assert [world.state(name) for name in ("outer", "middle", "inner")] == [State.UNAVAILABLE] * 3
    assert world.listed("outer")
    world.set("a", State.READY)
    world.follow()
    assert [world.state(name) for name in ("outer", "middle", "inner")] == [State.READY] * 3


def test_a_step_that_cannot_be_loaded_is_the_reason(world: World) -> None:
    world.model("a")
    world.set("a", State.UNAVAILABLE, "Internal: no model")
    world.ensemble("e", "a")
    world.ensemble("f", "e")
    assert world.reason("e") == (
        "Invalid argument: ensemble 'e' depends on 'a' which has no loaded version. Model 'a' loading failed with error: "
        "version 1 is at UNAVAILABLE state: Internal: no model;"
    )
    assert world.reason("f").startswith(
        "Invalid argument: ensemble 'f' depends on 'e' which is not valid. Model 'e' failed with error: ensemble 'e' "
        "depends on 'a'"
    )


def test_a_model_without_versions_and_one_that_does_not_exist_are_told_apart(world: World) -> None:
    world.failed = {"a": "Invalid argument: at least one version must be available", "typo": "Internal: no config"}
    world.unread = {"typo": ""}
    world.ensemble("e", "a")
    world.ensemble("f", "typo")
    world.ensemble("g", "nobody", "nobody_else")
    assert world.reason("e").endswith("Model 'a' loading failed with error: at least one version must be available")
    assert world.reason("f") == "Invalid argument: ensemble f contains models that are not available or ambiguous: typo"
    assert world.reason("g").endswith("contains models that are not available or ambiguous: nobody")


def test_a_required_version_must_be_ready(world: World) -> None:
    world.model("a", State.READY)
    world.ensemble("e", "a", version=3)
    assert world.reason("e") == (
        "Invalid argument: ensemble 'e' depends on 'a' whose required version 3 is not loaded."
    )


def test_ensembles_that_contain_each_other_are_refused(world: World) -> None:
    world.ensemble("one", "two")
    world.ensemble("two", "one")
    world.ensemble("self", "self")
    assert world.reason("one").endswith("circular dependency between ensembles: one -> ... -> two -> one")
    assert world.reason("two").endswith("circular dependency between ensembles: two -> ... -> one -> two")
    assert world.reason("self").endswith("circular dependency between ensembles: self -> ... -> self -> self")


def test_an_ensemble_that_does_not_fit_its_steps_is_refused_until_it_does(world: World) -> None:
    world.model("a", State.READY)
    world.ensemble("e", "a", batch=8)
    assert "allows maximum batch size 8, but it contains model a" in world.reason("e")
    _change(world.versions["a"], max_batch_size=8)
    world.follow()
    assert world.state("e") is State.READY


def test_what_a_step_becomes_later_shows_in_the_ensemble(world: World) -> None:
    world.model("a", State.READY)
    world.ensemble("e", "a")
    world.follow()
    assert not world.decoupled("e")
    _change(world.versions["a"], decoupled=True)
    world.follow()
    assert world.decoupled("e")


def test_an_output_has_the_labels_of_the_step_that_makes_it(world: World) -> None:
    world.model("a", State.READY)
    world.ensemble("e", "a")
    world.ensemble("f", "e")
    [output] = world.versions["a"].spec.outputs
    _change(world.versions["a"], outputs=(_replaced(output, label_filename="labels.txt"),))
    world.follow()
    for name in ("e", "f"):
        [output] = world.versions[name].spec.outputs
        assert (output.label_filename, output.label_folder) == ("labels.txt", str(world.folder / "a"))


def _change(version: ModelVersion, **fields: Any) -> None:
    version.spec = _replaced(version.spec, **fields)


def _replaced(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)
