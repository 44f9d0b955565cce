"""The life of one model version: loading on every instance, serving, failing. Sends orders; the processes are places.

A version is READY when all its instances are up. Its config is completed from the signature that the first instance to
load reports; the others load the same file and are told the same specification.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from itertools import count
from typing import Final, Protocol

import msgspec

from tis.config.labels import check_labels
from tis.config.proto import ModelConfig
from tis.config.resolve import Surroundings, resolved, with_placement
from tis.config.spec import model_spec
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal
from tis.log import get_logger
from tis.repository.definition import ModelDefinition
from tis.repository.fingerprint import fingerprint
from tis.supervisor.child import Child
from tis.supervisor.machine import Machine
from tis.supervisor.place import Host, Place
from tis.supervisor.placement import Placement

#: Why a version that served is not there any more, by Triton's word.
UNLOADED: Final = "unloaded"

_loads = count(1)

_log = get_logger(__name__)


class State(Enum):
    """What a version is in, by Triton's words."""

    LOADING = auto()
    READY = auto()
    UNAVAILABLE = auto()
    UNLOADING = auto()


class VersionHost(Host, Protocol):
    """What a version needs of the supervisor."""

    @property
    def machine(self) -> Machine:
        """Cores and GPUs."""

    def launch_worker(self, peer: int, environment: dict[str, str], where: Placement) -> Child:
        """Start a worker process."""

    def send(self, peer: int, *messages: m.Message) -> None:
        """Send to one child."""

    def prepare(self, spec: ModelSpec) -> None:
        """Tell the scheduler of a load that is not in the table yet."""

    def retire(self, load: int) -> None:
        """Tell the scheduler that no request will name a load any more; it says when none is left."""

    def instance_up(self, up: m.InstanceUp) -> None:
        """Tell the scheduler that a worker takes batches."""


class ModelVersion:
    """A version of a model that the server should serve."""

    def __init__(
        self, host: VersionHost, definition: ModelDefinition, version: int, surroundings: Surroundings
    ) -> None:
        self._host = host
        self._definition = definition
        self._surroundings = surroundings
        self.name = definition.name
        self.version = version
        #: Which load this is: every one has a number of its own.
        self.load = next(_loads)
        self.state = State.LOADING
        self.reason = ""
        self.completed = False
        self._started_s = 0.0
        self._files = ""
        self._stopped = False
        #: It was told to finish what it has, and still has something.
        self.is_busy = False
        self._on_gone: Callable[[], None] | None = None
        #: How long it took until it was ready for the first time; 0 before.
        self.load_s = 0.0
        #: Called when it has become READY or UNAVAILABLE.
        self.on_settled: Callable[[], None] = lambda: None
        draft = with_placement(definition.config, surroundings)
        #: The draft from the config file, then the completed specification.
        self.spec = model_spec(draft, version=version, model_path=definition.path, load=self.load)
        self._places = [self._place(index) for index in range(len(self.spec.instances))]
        #: Where each instance runs, once it has begun to load.
        self._placements: tuple[Placement, ...] = ()

    @property
    def listed(self) -> bool:
        """True where the index tells its state."""
        return True

    @property
    def started(self) -> bool:
        """True once it has begun to load."""
        return self._started_s > 0

    def refuse(self, error: TisError) -> None:
        """It cannot be served: do not even begin to load it."""
        self._fail(error)

    def start(self) -> None:
        """Begin to load on every instance."""
        self._started_s = time.monotonic()
        # Before any worker reads them: what changes later is another model.
        self._files = fingerprint(self._definition.path / str(self.version))
        try:
            self._placements = self._host.machine.place(self.spec.instances)
            self._host.machine.check_room(self._placements)
        except TisError as error:
            self._fail(error)
            return
        for place in self._places:
            place.start()

    def place_of(self, peer: int) -> int | None:
        """Which instance a process is, if it is one of this version's."""
        for index, place in enumerate(self._places):
            if place.peer == peer:
                return index
        return None

    def threads(self, peer: int) -> int:
        """How many threads an instance should use."""
        index = self.place_of(peer)
        return 1 if index is None else self._placements[index].threads

    def peers_up(self) -> list[int]:
        """Peer ids of the instances that take batches."""
        return [place.peer for place in self._places if place.up]

    def processes(self) -> list[tuple[int, str]]:
        """Peer id (0 for one that is dead) and name of each instance."""
        return [
            (
                place.peer,
                f"{self.name}/{self.version}/{spec.name}" + (f":{spec.device_id}" if spec.kind == "GPU" else ""),
            )
            for place, spec in zip(self._places, self.spec.instances, strict=True)
        ]

    def leave(self, gone: Callable[[], None]) -> None:
        """Finish what it has, then end; call back when all its processes have."""
        self.state, self.reason = State.UNLOADING, ""
        self._on_gone = gone
        self._host.retire(self.load)

    def retired(self, *, is_over: bool = True) -> None:
        """The scheduler has nothing left for it; or it still has, and says so once."""
        self.is_busy = not is_over
        if not is_over:
            self.on_settled()
        elif self.state is State.UNLOADING:
            self.state, self.reason = State.UNAVAILABLE, UNLOADED
            self.stop()
            self.on_settled()

    def discard(self, gone: Callable[[], None]) -> None:
        """End at once: it never served."""
        self._on_gone = gone
        self._host.retire(self.load)
        self.stop()

    def _check_gone(self) -> None:
        if self._stopped and not any(place.child for place in self._places):
            gone, self._on_gone = self._on_gone, None
            if gone is not None:
                gone()

    def stop(self) -> None:
        """End all instances in order."""
        self._stopped = True
        self._host.later(0, self._check_gone)
        for place in self._places:
            place.dismiss()
            if place.child is not None:
                self._host.send(place.peer, m.Stop())

    # ---- what instances say ----------------------------------------------------------------------------------------

    def hello(self, peer: int) -> None:
        """A worker of this version has begun: tell it what to load."""
        index = self.place_of(peer)
        if index is not None:
            complete = self._surroundings.auto_complete and not self.completed
            self._host.send(peer, m.LoadModel(self.spec, index, complete))

    def loaded(self, message: m.Loaded) -> None:
        """A worker has loaded the file: complete the config if that is not done, and let it serve."""
        if not self.completed:
            try:
                config = resolved(
                    self._definition.config,
                    self._surroundings,
                    signature=message.signature,
                    proposed=ModelConfig.FromString(message.proposed) if message.proposed else None,
                    config_provided=self._definition.config_provided,
                )
                check_labels(config, self._definition.path)
            except TisError as error:
                self._fail(self._definition.located(error))
                return
            self.spec = self._marked(
                model_spec(config, version=self.version, model_path=self._definition.path, load=self.load)
            )
            self.completed = True
            self._host.prepare(self.spec)
        self._host.send(message.peer, m.ServeModel(self.spec))

    def _marked(self, spec: ModelSpec) -> ModelSpec:
        """With what tells it from the same version before its files changed, where answers are kept."""
        return msgspec.structs.replace(spec, fingerprint=self._files) if spec.response_cache else spec

    def load_failed(self, message: m.LoadFailed) -> None:
        """A worker cannot load the model."""
        self._fail(TisError(Code(message.code), message.text))

    def up(self, peer: int, warmups: tuple[m.Warmup, ...] = ()) -> None:
        """A worker takes batches; it may have run samples before."""
        index = self.place_of(peer)
        if index is None:
            return
        self._places[index].up = True
        self.introduce(peer, warmups)
        if self.state is State.LOADING and all(place.up for place in self._places):
            self.state, self.reason = State.READY, ""
            self.load_s = time.monotonic() - self._started_s
            _log.info("successfully loaded '%s' version %d", self.name, self.version)
            self.on_settled()

    def introduce(self, peer: int, warmups: tuple[m.Warmup, ...] = ()) -> None:
        """Tell the scheduler of an instance that is up, unless it is passive: such a one is never given anything to run."""
        index = self.place_of(peer)
        if index is not None and not self.spec.instances[index].passive:
            self._host.instance_up(m.InstanceUp(peer, self.name, self.version, index, self.load, warmups))

    # ---- deaths ----------------------------------------------------------------------------------------------------

    def _place(self, index: int) -> Place:
        instance = self.spec.instances[index]
        place = Place(
            self._host,
            f"instance '{instance.name}' of model '{self.name}' version {self.version}",
            lambda peer: self._launch(peer, self._placements[index]),
        )
        place.on_death = self._instance_died
        place.on_give_up = self._instance_lost
        return place

    def _launch(self, peer: int, placement: Placement) -> Child:
        environment = self._host.machine.environment(placement.instance, placement.threads)
        return self._host.launch_worker(peer, environment, placement)

    def _instance_died(self, _peer: int, reason: str) -> bool:
        """True to start it again: a death after the version was ready once; a death while it loads is a failed load."""
        if self._stopped:
            self._check_gone()
            return False
        if self.state is State.LOADING:
            self._fail(internal(f"the process that loaded model '{self.name}' {reason}"))
        # One that leaves may still have requests to run.
        return self.state in (State.READY, State.UNLOADING)

    def _instance_lost(self, reason: str) -> None:
        """An instance dies again and again; without any other, the version is unavailable."""
        active = [place for place, each in zip(self._places, self.spec.instances, strict=True) if not each.passive]
        if not any(place.child for place in active or self._places):
            self._fail(internal(f"every instance of model '{self.name}' keeps dying; the last one {reason}"))

    def _fail(self, error: TisError) -> None:
        if self.state not in (State.LOADING, State.READY):
            return
        self.state = State.UNAVAILABLE
        self.reason = f"{error.code.spoken}: {error.message}"
        _log.error("failed to load '%s' version %d: %s", self.name, self.version, self.reason)
        self.stop()
        self.on_settled()
