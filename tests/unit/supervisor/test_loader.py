"""Loads are read first, begin together, and happen once; workers are numbers that load and come up when the test says so."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.supervisor.errands import SteppedErrands
from tis.contracts import messages as m
from tis.errors import TisError
from tis.settings import ServerSettings
from tis.supervisor.child import Child
from tis.supervisor.loader import Loader
from tis.supervisor.machine import Machine
from tis.supervisor.models import Models
from tis.supervisor.publication import Publication
from tis.supervisor.reading import LoadOrder
from tis.supervisor.version import State

SCHEDULER = 1
TENSORS = 'input { name: "I" data_type: TYPE_FP32 dims: 1 } output { name: "O" data_type: TYPE_FP32 dims: 1 } '
PLAIN = f'backend: "python" instance_group {{ kind: KIND_CPU }} {TENSORS}'


def ensemble(*models: str) -> str:
    names = ["I", *(f"t{number}" for number in range(1, len(models))), "O"]
    steps = "".join(
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "I" value: "{names[number]}" }} '
        f'output_map {{ key: "O" value: "{names[number + 1]}" }} }} '
        for number, model in enumerate(models)
    )
    return f'platform: "ensemble" {TENSORS} ensemble_scheduling {{ {steps} }}'


class Bench:
    """A loader over a repository; a scheduler that sees each table at once, and processes that do as the test says."""

    model_load_timeout_s = 0.0
    stop_has_begun = False

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.machine = Machine(2, ())
        self.peers = SCHEDULER
        self.dying: dict[int, Callable[[str], None]] = {}
        #: How often a process was started for each model, told by its title.
        self.launched: Counter[str] = Counter()
        self.answers: list[tuple[str, str]] = []
        self.errands = SteppedErrands()
        self.publication = Publication(lambda _peer, _message: None)
        self.publication.scheduler_began(SCHEDULER)
        self.models = Models(self._publish)
        made = ServerSettings(model_repositories=(str(folder),), **settings)
        self.loader = Loader(self, made, self.models, self.publication, self.errands)

    def _publish(self, table: m.Table) -> None:
        self.publication.publish(table)
        self.publication.seen(SCHEDULER, table.epoch)

    # What versions need of the supervisor.

    def new_peer(self) -> int:
        self.peers += 1
        return self.peers

    def launch_worker(self, peer: int, _environment: dict[str, str], _where: object) -> Child:
        return cast("Child", SimpleNamespace(peer=peer, pid=1, is_excused=False, lived_s=lambda: 1.0))

    def watch(self, child: Child, died: Callable[[str], None]) -> None:
        self.dying[child.peer] = died
        version = self.models.of_peer(child.peer)
        assert version is not None
        self.launched[version.name] += 1

    def later(self, _delay_s: float, callback: Callable[[], None]) -> None:
        callback()

    def send(self, peer: int, *messages: m.Message) -> None:
        pass

    def tell_scheduler(self, message: m.Message) -> None:
        if isinstance(message, m.Retire):
            version = self.models.of_load(message.load)
            if version is not None and version.state is State.UNLOADING:
                version.retired()

    def end(self, peer: int) -> None:
        pass

    # What happens.

    def write(self, name: str, config: str = PLAIN) -> None:
        (self.folder / name / "1").mkdir(parents=True, exist_ok=True)
        (self.folder / name / "config.pbtxt").write_text(config)

    def load(self, name: str, **order: Any) -> None:
        def done(error: TisError | None) -> None:
            self.answers.append((name, error.message if error is not None else ""))

        self.loader.load(LoadOrder(name, **order), done)

    def unload(self, name: str) -> None:
        self.loader.unloader.unload(name, lambda: self.answers.append((name, "gone")))

    def work(self) -> None:
        """Everything is read, and every process that has been started loads its model and comes up; until nothing is left."""
        done: set[int] = set()
        while self.errands.open or self.dying.keys() - done:
            self.errands.finish()
            for peer in self.dying.keys() - done:
                done.add(peer)
                version = self.models.of_peer(peer)
                if version is not None and version.state is State.LOADING:
                    version.loaded(m.Loaded(peer, None))
                    version.up(peer)

    def is_settled(self) -> bool:
        return self.models.settled

    def states(self) -> dict[str, str]:
        return {entry.name: entry.state for entry in self.publication.table.index}


def test_a_model_that_an_ensemble_brings_along_at_the_start_is_loaded_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit", startup_models=("*",))
    bench.write("all", ensemble("first", "second"))
    bench.write("first")
    bench.write("second")
    bench.loader.load_at_start()
    bench.work()
    assert bench.launched == {"first": 1, "second": 1}
    assert bench.states() == {"all": "READY", "first": "READY", "second": "READY"}
    assert bench.models.all_ready
    assert bench.is_settled()


def test_an_ensemble_that_is_named_at_the_start_brings_its_models_along_and_those_theirs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit", startup_models=("all", "second"))
    bench.write("all", ensemble("inner", "second"))
    bench.write("inner", ensemble("first"))
    bench.write("first")
    bench.write("second")
    bench.write("other")
    bench.loader.load_at_start()
    bench.work()
    assert bench.launched == {"first": 1, "second": 1}
    assert bench.states() == dict.fromkeys(("all", "inner", "first", "second"), "READY")


def test_nothing_is_settled_while_anything_is_read_and_an_ensemble_waits_for_its_steps(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit")
    bench.write("all", ensemble("first"))
    bench.write("first")
    bench.loader.load_at_start()
    assert bench.is_settled()
    bench.load("all")
    assert not bench.is_settled()
    bench.errands.step()
    # The ensemble has been read, its step has not.
    assert bench.states() == {"all": ""}
    assert not bench.is_settled()
    assert bench.answers == []
    bench.work()
    assert bench.answers == [("all", "")]
    assert bench.states() == {"all": "READY", "first": "READY"}


def test_loads_and_unloads_of_one_model_happen_in_their_order_though_it_is_still_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit")
    bench.write("m")
    bench.load("m")
    bench.unload("m")
    bench.load("m")
    bench.load("m")
    bench.work()
    assert bench.answers == [("m", ""), ("m", "gone"), ("m", ""), ("m", "")]
    assert bench.launched == {"m": 2}
    assert bench.states() == {"m": "READY"}


def test_a_model_that_is_not_there_leaves_no_trace(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit")
    bench.load("nobody")
    bench.load("nobody")
    bench.unload("nobody")
    bench.work()
    failure = "failed to load 'nobody', failed to poll from model repository"
    assert bench.answers == [("nobody", failure), ("nobody", failure), ("nobody", "gone")]
    assert bench.models.get("nobody") is None
    assert bench.models.all_ready
    assert bench.is_settled()


@pytest.mark.parametrize("config", ["max_batch_size: -1", "{", f'{PLAIN} name: "other"'])
def test_a_model_that_cannot_be_taken_is_told_of_and_holds_up_no_other(config: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write("bad", config)
    bench.write("good")
    bench.loader.load_at_start()
    bench.work()
    assert bench.states()["good"] == "READY"
    assert bench.states().get("bad") != "READY"
    assert bench.is_settled()
    assert not bench.models.all_ready


def test_a_repository_that_cannot_be_listed_ends_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "none")
    with pytest.raises(TisError, match="failed to open directory"):
        bench.loader.load_at_start()


def test_what_has_not_changed_is_not_loaded_again_and_what_has_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model_control_mode="explicit")
    bench.write("m")
    for _ in range(2):
        bench.load("m")
        bench.work()
    assert bench.launched == {"m": 1}
    (tmp_path / "m" / "1" / "model.py").write_text("changed")
    bench.load("m")
    bench.work()
    assert bench.launched == {"m": 2}
