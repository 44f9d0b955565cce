"""Which model versions there are, by the model table: each load of one has a scheduler, until it is retired. Pure.

A version that is loaded anew has two loads for a while: requests name theirs, so that those which were checked against the
older one still reach it. Which of them new requests name is the frontends' affair, who follow the table, too.
"""

from collections.abc import Callable, Iterator

from tis.contracts.messages import Infer, Table
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import TisError, not_found, unavailable
from tis.scheduler.ready import ReadyVersions
from tis.scheduler.scheduling import Scheduling

Make = Callable[[ModelSpec], Scheduling]


class Registry:
    """The schedulers of all model versions."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self.ready = ReadyVersions()
        self._current: dict[tuple[str, int], Scheduling] = {}
        self._loads: dict[int, Scheduling] = {}
        #: Versions that the table calls ready, and those that it once did and does not any more.
        self._ready_keys: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        #: Loads that take no more requests and go when they have none.
        self._retiring: dict[int, Scheduling] = {}
        #: Those of them that have been retired in this turn of the loop: a request for one may lie in a socket still.
        self._just_retired: set[int] = set()
        #: Those that were so a turn ago.
        self._not_looked_at: set[int] = set()
        self._of_instance: dict[int, Scheduling] = {}
        #: Instances that are given nothing new, until they have nothing left.
        self._retiring_instances: set[int] = set()

    def __iter__(self) -> Iterator[Scheduling]:
        """Those that the table lists, by name and version."""
        return iter([model for _, model in sorted(self._current.items(), key=lambda item: item[0])])

    @property
    def queued(self) -> int:
        """Requests that wait for any model."""
        return sum(model.queued for model in self._loads.values())

    def find(self, infer: Infer) -> Scheduling:
        """The scheduler of the load that a request is for.

        Raises:
            TisError: NOT_FOUND for one that never was, or is gone; UNAVAILABLE for one that has failed.
        """
        key = (infer.model, infer.version)
        model = self._loads.get(infer.load) if infer.load else self._current.get(key)
        if model is None:
            raise not_found(f"Request for unknown model: '{infer.model}' version {infer.version} is not found")
        if key in self._failed and self._current.get(key) is model:
            raise _not_ready(*key)
        return model

    def of_load(self, load: int) -> Scheduling | None:
        """The scheduler of a load."""
        return self._loads.get(load)

    def prepare(self, spec: ModelSpec) -> None:
        """A load is coming up; the table will list it when it is ready."""
        if spec.load not in self._loads:
            self._loads[spec.load] = self._make(spec)

    def follow(self, table: Table) -> list[Scheduling]:
        """Take over a newer table. Returns those whose waiting requests are to be refused: they have failed."""
        listed = {entry.spec.key: entry for entry in table.models}
        ready = {key for key, entry in listed.items() if entry.ready}
        # A frontend may send for a version that has failed before it hears of it; so may an ensemble that goes on here.
        self._failed = (self._failed | self._ready_keys) & listed.keys() - ready
        self._ready_keys = ready
        self.ready.replace(table)
        failed: list[Scheduling] = []
        for key, entry in listed.items():
            model = self._current.get(key)
            if model is None or model.spec.load != entry.spec.load:
                self.prepare(entry.spec)
                self._current[key] = self._loads[entry.spec.load]
            elif self._is_changed_ensemble(model, entry.spec):
                self._current[key] = self._loads[entry.spec.load] = self._make(entry.spec)
            elif entry.spec != model.spec:
                model.respecified(entry.spec)
            elif not entry.ready:
                failed.append(model)
        for key in [key for key in self._current if key not in listed]:
            del self._current[key]
        return failed

    @staticmethod
    def _is_changed_ensemble(model: Scheduling, spec: ModelSpec) -> bool:
        """An ensemble follows its steps' models without being loaded anew."""
        return spec.ensemble is not None and spec != model.spec

    # ---- instances -------------------------------------------------------------------------------------------------

    def instance_up(self, load: int, peer: int, number: int, spec: InstanceSpec | None = None) -> Scheduling | None:
        """An instance of a load takes batches from now on."""
        model = self._loads.get(load)
        if model is not None:
            model.instance_up(peer, number, spec)
            self._of_instance[peer] = model
            if self._current.get(model.spec.key) is model:
                self._failed.discard(model.spec.key)
        return model

    def of_instance(self, peer: int) -> Scheduling | None:
        """The scheduler that an instance works for."""
        return self._of_instance.get(peer)

    def forget_instance(self, peer: int) -> Scheduling | None:
        """An instance has gone; gives the scheduler that it worked for."""
        return self._of_instance.pop(peer, None)

    def retire_instance(self, peer: int) -> Scheduling | None:
        """An instance gets nothing new from now on; gives its scheduler."""
        self._retiring_instances.add(peer)
        model = self._of_instance.get(peer)
        if model is not None:
            model.retire_instance(peer)
        return model

    def retired_instances(self) -> list[int]:
        """Retiring instances that have nothing left or are gone; each is told once."""
        if not self._retiring_instances:
            return []
        models = {peer: self._of_instance.get(peer) for peer in self._retiring_instances}
        over = [peer for peer, model in models.items() if model is None or model.is_instance_idle(peer)]
        self._retiring_instances.difference_update(over)
        return over

    def running(self) -> tuple[tuple[int, int], ...]:
        """Instances that have something to do, see `Heartbeat.running`."""
        return tuple([each for model in self._loads.values() for each in model.running()])

    # ---- the end of a load -----------------------------------------------------------------------------------------

    def retire(self, load: int) -> None:
        """No request will name a load any more."""
        model = self._loads.get(load)
        if model is not None:
            self._retiring[load] = model
            self._just_retired.add(load)

    @property
    def must_look_again(self) -> bool:
        """True where `retired` has to be asked again after everything that has arrived by now is read."""
        return bool(self._just_retired)

    def retired(self) -> list[tuple[Scheduling, bool]]:
        """News of retired loads: those that have nothing left to do, which are forgotten, and once those that still have."""
        if not self._retiring:
            return []
        just, self._just_retired = self._just_retired, set()
        looked_at_first, self._not_looked_at = self._not_looked_at, just
        pinned = {load for model in self._loads.values() for load in model.pinned}
        news: list[tuple[Scheduling, bool]] = []
        for load, model in list(self._retiring.items()):
            if load in just:
                continue
            if load in pinned or not model.idle:
                if load in looked_at_first:
                    news.append((model, False))
                continue
            news.append((model, True))
            del self._retiring[load]
            del self._loads[load]
            for peer in [peer for peer, each in self._of_instance.items() if each is model]:
                del self._of_instance[peer]
        return news


def not_ready_text(name: str, version: int) -> str:
    """What Triton says of a version that cannot take requests."""
    return f"Request for unknown model: '{name}' version {version} is not at ready state"


def _not_ready(name: str, version: int) -> TisError:
    return unavailable(not_ready_text(name, version))
