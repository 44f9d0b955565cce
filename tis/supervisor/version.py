"""The life of one model version: loading on every instance, serving, failing. Sends orders; the processes are places.

A version is READY when all its instances are up. Its config is completed from the signature that the first instance to
load reports; the others load the same file and are told the same specification.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from tis.config.in_place import with_instances_of
from tis.config.labels import check_labels
from tis.config.proto import Message, ModelConfig
from tis.config.python_models import config_text, proposed_config
from tis.config.resolve import Surroundings, resolved, with_placement
from tis.config.spec import instances_of, model_spec
from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError, internal
from tis.log import get_logger
from tis.repository.definition import ModelDefinition
from tis.supervisor.child import Child
from tis.supervisor.instance_change import InstanceChange
from tis.supervisor.instances import Changed, InstancePlace, Instances
from tis.supervisor.limits import limits_of
from tis.supervisor.placement import Placement
from tis.supervisor.preparation import Preparation
from tis.supervisor.version_host import VersionHost

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


class ModelVersion:
    """A version of a model that the server should serve."""

    def __init__(
        self,
        host: VersionHost,
        definition: ModelDefinition,
        version: int,
        surroundings: Surroundings,
        files: str = "",
    ) -> None:
        self._host = host
        self._definition = definition
        self._surroundings = surroundings
        self.name = definition.identifier
        self.version = version
        #: Which load this is: every one has a number of its own.
        self.load = next(_loads)
        self.state = State.LOADING
        self.reason = ""
        self.completed = False
        self._started_s = 0.0
        #: Its files, as a digest: what it answers is what it answered while they were the same.
        self._files = files
        self._stopped = False
        #: It was told to finish what it has, and still has something.
        self.is_busy = False
        self._on_gone: Callable[[], None] | None = None
        #: Another load has taken its place.
        self.has_successor = False
        #: How long it took until it was ready for the first time; 0 before.
        self.load_s = 0.0
        #: Called when it has become READY or UNAVAILABLE.
        self.on_settled: Callable[[], None] = lambda: None
        draft = with_placement(definition.config, surroundings)
        #: The draft from the config file, then the completed specification.
        self.spec = self._spec_of(draft)
        #: Why the instance died that died last.
        self._last_death = ""
        self._preparation = Preparation(host, definition)
        self.instances: Final = Instances(host, self._place, len(self.spec.instances), self._instance_died)

    @property
    def path(self) -> Path:
        """The model's directory."""
        return self._definition.path

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
        try:
            self._files += self._preparation.check_library(self.version)
            for place, where in zip(self.instances, self._placed(), strict=True):
                place.where = where
            self._preparation.begin(self.spec, self._prepared)
        except TisError as error:
            self._fail(error)

    def _placed(self) -> tuple[Placement, ...]:
        placements = self._host.machine.place(self.spec.instances)
        self._host.machine.check_room(placements)
        return placements

    def _prepared(self, error: TisError | None) -> None:
        if error is not None:
            self._fail(error)
            return
        for place in self.instances:
            place.start()

    def threads(self, peer: int) -> int:
        """How many threads an instance should use."""
        place = self.instances.find(peer)
        return 1 if place is None or place.where is None else place.where.threads

    def peers_up(self) -> list[int]:
        """Peer ids of the instances that take batches, or finish what they have."""
        return [place.peer for place in self.instances.everywhere if place.up]

    def processes(self) -> list[tuple[int, str]]:
        """Peer id (0 for one that is dead) and name of each instance."""
        head = f"{self.name}/{self.version}/"
        return [(place.peer, head + place.spec.shown) for place in self.instances.everywhere]

    def leave(self, gone: Callable[[], None]) -> None:
        """Finish what it has, then end; call back when all its processes have."""
        self.state, self.reason = State.UNLOADING, ""
        self._on_gone = gone
        self._host.tell_scheduler(m.Retire(self.load, self.has_successor))

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
        self._host.tell_scheduler(m.Retire(self.load))
        self.stop()

    def _check_gone(self) -> None:
        if self._stopped and not any(place.child for place in self.instances.everywhere):
            gone, self._on_gone = self._on_gone, None
            if gone is not None:
                gone()

    def stop(self) -> None:
        """End all instances in order."""
        self._stopped = True
        self._preparation.stop()
        self._host.later(0, self._check_gone)
        self.instances.stop()

    # ---- single instances ------------------------------------------------------------------------------------------

    def replace_instance(self, number: int, changed: Changed) -> None:
        """Start an instance beside the one of this number, which leaves when the new one is up. For a version that serves.

        `changed` is told once: when the old one is given nothing more, or why everything stays as it is.
        """
        self.instances.replace(number, changed)

    def change_to(self, definition: ModelDefinition, surroundings: Surroundings) -> InstanceChange:
        """A change to the instances that a definition asks for which differs only in these; for a version that serves.

        Raises:
            TisError: INVALID_ARG for groups that this machine cannot hold.
        """
        placed = with_placement(definition.config, surroundings)
        config = with_instances_of(ModelConfig.FromString(self.spec.config), placed)
        data = config.SerializeToString(deterministic=True)
        spec = msgspec.structs.replace(self.spec, instances=instances_of(config), config=data)
        return InstanceChange(self, definition, spec)

    def further_place(self, spec: ModelSpec, number: int) -> InstancePlace:
        """The place of an instance of a specification that this version is about to have.

        Raises:
            TisError: it cannot be where it should, see `Machine.place`.
        """
        placements = self._host.machine.place(spec.instances)
        self._host.machine.check_room(placements[number : number + 1])
        place = self._made(spec.instances[number], number)
        place.where = placements[number]
        place.joins = spec
        return place

    def rename(self, place: InstancePlace, spec: InstanceSpec) -> None:
        """An instance that goes on has another name; all else of it is as it was."""
        place.spec, place.title, place.joins = spec, self._title(spec), None
        if place.child is not None:
            place.child.title = place.title

    def adopt(self, definition: ModelDefinition, spec: ModelSpec) -> None:
        """What is asked for differs from what was in nothing that concerns the instances that are there."""
        self._definition, self.spec = definition, spec

    @property
    def live(self) -> bool:
        """False while no instance is up that could run a request."""
        active = self.instances.active
        return not active or any(place.up for place in active)

    def _tell_trouble(self) -> None:
        """An instance of a version that serves has come or gone: let the index say what is wrong, and readiness be true."""
        if self.state is not State.READY:
            return
        active = self.instances.active
        given_up = [place for place in active if place.given_up]
        self.reason = ""
        if not self.live:
            self.reason = f"no instance is up, the last one {self._last_death}; it is started again"
        elif given_up:
            self.reason = (
                f"{len(given_up)} of {len(active)} instances keep dying and are not started again; the last one "
                f"{self._last_death}"
            )
        self.on_settled()

    # ---- what instances say ----------------------------------------------------------------------------------------

    def hello(self, peer: int) -> None:
        """A worker of this version has begun: tell it what to load."""
        place = self.instances.find(peer)
        if place is not None and (self._stopped or self.instances.is_leaving(place)):
            # It was told to end before it could hear anything.
            self._host.end(peer)
        elif place is not None:
            complete = self._surroundings.auto_complete and not self.completed
            spec = place.joins or self.spec
            at = spec.instances.index(place.spec) if place.spec in spec.instances else -1
            if at < 0:
                # It leaves, and the specification does not have it any more.
                spec, at = msgspec.structs.replace(spec, instances=(place.spec,)), 0
            self._host.send(peer, m.LoadModel(spec, at, complete, config_text(spec)))

    def loaded(self, message: m.Loaded) -> None:
        """A worker has loaded the file: complete the config if that is not done, and let it serve."""
        if not self.completed:
            try:
                config = resolved(
                    self._definition.config,
                    self._surroundings,
                    signature=message.signature,
                    proposed=proposed_config(self.name, message.proposed),
                    config_provided=self._definition.config_provided,
                )
                check_labels(config, self._definition.path)
            except TisError as error:
                self._fail(self._definition.located(error))
                return
            began_as = self.spec.instances
            self.spec = self._marked(self._spec_of(config))
            self.completed = True
            self._host.tell_scheduler(m.Prepare(self.spec))
            if self.spec.instances != began_as:
                # The model itself has said where it runs: what told us may be one too few, and in the wrong place.
                try:
                    self.instances.begin_anew(self._placed())
                except TisError as error:
                    self._fail(error)
                return
        place = self.instances.find(message.peer)
        spec = (place and place.joins) or self.spec
        self._host.send(message.peer, m.ServeModel(spec, config_text(spec)))

    def _spec_of(self, config: Message) -> ModelSpec:
        file, namespace = self._surroundings.backend_file, self._definition.namespace
        return model_spec(
            config, version=self.version, model_path=self.path, load=self.load, backend_file=file, namespace=namespace
        )

    def _marked(self, spec: ModelSpec) -> ModelSpec:
        """With what tells it from the same version before its files changed, where answers are kept."""
        return msgspec.structs.replace(spec, fingerprint=self._files) if spec.response_cache else spec

    def load_failed(self, message: m.LoadFailed) -> None:
        """A worker cannot load the model, and ends. Others that serve go on."""
        error = TisError(Code(message.code), message.text)
        place = self.instances.find(message.peer)
        if place is not None:
            place.last_words = place.refusal = f"{error.code.spoken}: {error.message}"
        if self.state is State.LOADING:
            self._fail(error)

    def up(self, peer: int, warmups: tuple[m.Warmup, ...] = ()) -> None:
        """A worker takes batches; it may have run samples before."""
        place = self.instances.find(peer)
        if place is None:
            return
        then = self.instances.came_up(place)
        place.warmups = warmups
        self.introduce(peer)
        then()
        if self.state is State.READY:
            self._tell_trouble()
        if self.state is State.LOADING and all(place.up for place in self.instances):
            self.state, self.reason = State.READY, ""
            self.load_s = time.monotonic() - self._started_s
            _log.info("successfully loaded '%s' version %d", self.name, self.version)
            self.on_settled()

    def introduce(self, peer: int) -> None:
        """Tell the scheduler of an instance that is up, unless it is passive: such a one is never given anything to run."""
        place = self.instances.find(peer)
        if place is not None and not place.spec.passive and not self.instances.is_leaving(place):
            self._host.tell_scheduler(
                m.InstanceUp(peer, self.name, self.version, place.number, self.load, place.warmups, place.spec)
            )

    def scheduler_began(self) -> None:
        """A scheduler has begun: it learns of the version, and of the instances that are up."""
        if self.completed:
            self._host.tell_scheduler(m.Prepare(self.spec))
        for peer in self.peers_up():
            self.introduce(peer)
        self.instances.scheduler_began()

    # ---- deaths ----------------------------------------------------------------------------------------------------

    def _place(self, number: int) -> InstancePlace:
        return self._made(self.spec.instances[number], number)

    def _title(self, spec: InstanceSpec) -> str:
        return f"instance '{spec.name}' of model '{self.name}' version {self.version}"

    def _made(self, spec: InstanceSpec, number: int) -> InstancePlace:
        def launch(peer: int) -> Child:
            where = place.where or self._host.machine.place((place.spec,))[0]
            environment = self._host.machine.environment(where.instance, where.threads)
            child = self._host.launch_worker(peer, environment, where, self._preparation.interpreter)
            child.limits = limits_of(self.spec.extensions, self._host.model_load_timeout_s)
            return child

        place = InstancePlace(self._host, number, spec, self._title(spec), launch)
        place.on_give_up = self._instance_lost
        return place

    def _instance_died(self, place: InstancePlace, reason: str) -> bool:
        """True to start it again: a death after the version was ready once; a death while it loads is a failed load."""
        if self._stopped:
            self._check_gone()
            return False
        serves = place in list(self.instances)
        if serves and self.state is State.LOADING:
            self._fail(internal(f"the process that loaded model '{self.name}' {reason}"))
        if serves:
            self._last_death = reason
            self._tell_trouble()
        # One that leaves may still have requests to run.
        return self.state in (State.READY, State.UNLOADING)

    def _instance_lost(self, reason: str) -> None:
        """An instance dies again and again; without any other, the version is unavailable."""
        places = self.instances.active or list(self.instances)
        if all(place.given_up for place in places):
            self._fail(internal(f"every instance of model '{self.name}' keeps dying; the last one {reason}"))
        else:
            self._tell_trouble()

    def _fail(self, error: TisError) -> None:
        if self.state not in (State.LOADING, State.READY):
            return
        self.state = State.UNAVAILABLE
        self.reason = f"{error.code.spoken}: {error.message}"
        _log.error("failed to load '%s' version %d: %s", self.name, self.version, self.reason)
        self.instances.abandon("was not waited for, since the version has failed")
        self.stop()
        self.on_settled()
