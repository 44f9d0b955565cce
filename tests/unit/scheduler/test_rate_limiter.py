"""`--rate-limit=execution_count`: resources are held while an instance runs, turns go by executions times priority."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.messages import BatchDone, Infer
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.contracts.resources import Given, check_resources
from tis.contracts.scheduling_spec import DynamicBatcherSpec, RateLimitSpec, ResourceSpec
from tis.errors import Code, TisError
from tis.scheduler.decisions import Run
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.rate_limiter import RateLimiter


def needing(*resources: tuple[str, int], priority: int = 0, device: int = 0, shared: bool = False) -> InstanceSpec:
    needs = tuple(ResourceSpec(name, count, shared) for name, count in resources)
    return InstanceSpec("i", "CPU", device, RateLimitSpec(needs, priority))


class Server:
    """Models that share a limiter, dispatched as the loop does it."""

    def __init__(
        self, models: dict[str, tuple[InstanceSpec, ...]], given: Given = (), batcher: DynamicBatcherSpec | None = None
    ) -> None:
        self.changed: set[str] = set()
        self.limiter = RateLimiter(given, lambda key: self.changed.add(key[0]))
        self.models: dict[str, ModelScheduler] = {}
        #: Batches that run, in the order of their begin: model, peer, batch id.
        self.running: list[tuple[str, int, int]] = []
        #: (model, place of the instance) of every execution so far.
        self.history: list[tuple[str, int]] = []
        #: When each model wants to be dispatched again.
        self.wakes: dict[str, int | None] = {}
        self._number = 0
        for name, instances in models.items():
            spec = ModelSpec(name, 1, "", "onnxruntime", 8, (), (), batcher, instances=instances)
            model = self.models[name] = ModelScheduler(spec, limiter=self.limiter)
            for place in range(len(instances)):
                model.instance_up(self.peer(name, place), place)

    def peer(self, name: str, place: int) -> int:
        return 10 * (1 + [*self.models].index(name)) + place

    def add(self, name: str, requests: int = 1) -> QueuedRequest:
        added = []
        for _ in range(requests):
            self._number += 1
            added.append(QueuedRequest(Infer(self._number, 1, name, 1, 1, b"", 0, msgspec.Raw(b"\xc0")), 0))
            self.models[name].add(added[-1], 0)
        self.changed.add(name)
        return added[-1]

    def settle(self) -> "Server":
        for _ in range(1000):
            if not self.changed:
                return self
            changed, self.changed = self.changed, set()
            for name in sorted(changed):
                for run in self.models[name].dispatch(0):
                    assert isinstance(run, Run)
                    self.running.append((name, run.peer, run.batch.batch_id))
                    self.history.append((name, run.peer % 10))
                self.wakes[name] = self.models[name].wake_ns(0)
            self.limiter.settle((name, 1, 0) for name in changed)
        raise AssertionError("it goes round and round")

    def finish(self, position: int = 0) -> "Server":
        name, peer, batch_id = self.running.pop(position)
        assert self.models[name].done(BatchDone(batch_id, peer, 0, 0, 1, 1), 1)
        self.changed.add(name)
        return self.settle()

    def executions(self) -> dict[tuple[str, int], int]:
        return {each: self.history.count(each) for each in self.history}


def names(server: Server) -> list[str]:
    return [name for name, _, _ in server.running]


def test_an_instance_waits_until_the_resource_that_it_shares_with_another_model_is_released() -> None:
    server = Server({"a": (needing(("R", 1)),), "b": (needing(("R", 1)),)})
    server.add("a")
    server.settle().add("b")
    assert names(server.settle()) == ["a"]
    assert names(server.finish()) == ["b"]


def test_there_is_as_much_as_the_neediest_instance_needs() -> None:
    server = Server({"big": (needing(("R", 3)),), "small": (needing(("R", 1)),) * 5})
    server.add("small", 5)
    assert names(server.settle()) == ["small"] * 3
    server.add("big")
    server.settle()
    # The fourth small one has waited longer than the big one; after it the big one's turn has come, and nobody passes it
    # while its resources come free one by one.
    seen = [names(server.finish()) for _ in range(5)]
    assert seen == [["small"] * 3, ["small"] * 2, ["small"], ["big"], ["small"]]


def test_what_the_operator_gives_is_what_there_is() -> None:
    server = Server({"a": (needing(("R", 1)),) * 5}, (("R", 4, -1),))
    server.add("a", 5)
    assert len(server.settle().running) == 4


def test_a_device_has_resources_of_its_own_and_shared_ones_are_shared_by_all() -> None:
    own = Server({"a": tuple(needing(("R", 1), device=device) for device in (0, 1))})
    own.add("a", 2)
    assert len(own.settle().running) == 2
    shared = Server({"a": tuple(needing(("R", 1), device=device, shared=True) for device in (0, 1))})
    shared.add("a", 2)
    assert len(shared.settle().running) == 1


def test_the_instance_that_has_run_least_runs_next_and_priority_2_halves_the_turns() -> None:
    server = Server({"a": (needing(("R", 1), priority=1), needing(("R", 1), priority=2), needing(("R", 1)))})
    server.add("a", 50)
    server.settle()
    while server.running:
        server.finish()
    assert server.executions() == {("a", 0): 20, ("a", 1): 10, ("a", 2): 20}


def test_turns_go_by_executions_over_all_models() -> None:
    server = Server({"a": (needing(("R", 1), priority=3),), "b": (needing(("R", 1)),)})
    server.add("a", 10)
    server.add("b", 30)
    server.settle()
    for _ in range(40):
        server.finish()
    assert server.executions() == {("a", 0): 10, ("b", 0): 30}
    # Not one after the other: b has three turns to each of a's.
    assert {server.history[:20].count(("a", 0)), server.history[20:].count(("a", 0))} == {5}


def test_a_request_that_was_cancelled_while_it_waited_for_its_turn_holds_nobody_up() -> None:
    server = Server({"a": (needing(("R", 1)),), "b": (needing(("R", 1), priority=9),)})
    server.add("b")
    server.settle()
    request = server.add("a")
    server.add("b")
    server.settle()
    assert list(server.models["a"].cancel(request, 0))
    assert names(server.finish()) == ["b"]


def test_a_batch_that_still_grows_holds_nobody_up() -> None:
    server = Server(
        {"a": (needing(("R", 1)),), "b": (needing(("R", 1), priority=9),)},
        batcher=DynamicBatcherSpec(max_queue_delay_us=1000, preferred_batch_sizes=(2,)),
    )
    server.add("b", 2)
    server.settle().add("a")
    server.add("b", 2)
    server.settle()
    assert names(server) == ["b"]
    # It is the turn of a, whose batch is not due; so b runs again.
    assert names(server.finish()) == ["b"]
    assert server.wakes["a"] == 1_000_000
    server.add("a")
    server.settle()
    assert names(server.finish()) == ["a"]


def test_an_instance_that_dies_gives_back_what_it_held() -> None:
    server = Server({"a": (needing(("R", 1)),), "b": (needing(("R", 1)),)})
    server.add("a")
    server.settle().add("b")
    server.settle()
    assert list(server.models["a"].instance_gone(server.peer("a", 0), "killed", 0))
    server.running.clear()
    server.changed.add("a")
    assert names(server.settle()) == ["b"]


def test_an_instance_that_joins_late_does_not_have_every_turn() -> None:
    server = Server({"a": (needing(("R", 1)),), "b": (needing(("R", 1)),)})
    server.add("a", 100)
    server.settle()
    for _ in range(100):
        server.finish()
    assert list(server.models["b"].instance_gone(server.peer("b", 0), "killed", 0)) == []
    server.models["b"].instance_up(99, 0)
    server.history.clear()
    server.add("a", 10)
    server.add("b", 10)
    server.settle()
    for _ in range(20):
        server.finish()
    assert server.history[:10].count(("b", 9)) in (5, 6)


def test_what_an_instance_needs_that_comes_while_others_serve_is_there_and_goes_with_it() -> None:
    small, large = needing(("R", 1)), needing(("R", 2))
    server = Server({"a": (small,), "b": (small,)})
    model = server.models["a"]
    model.instance_up(99, 1, large)
    model.respecified(msgspec.structs.replace(model.spec, instances=(small, large)))
    server.add("a")
    server.add("b")
    server.settle()
    assert len(server.running) == 2, "there is as much as the one that has come needs"
    server.finish()
    server.finish()
    model.respecified(msgspec.structs.replace(model.spec, instances=(small,)))
    assert list(model.instance_gone(99, "left", 0)) == []
    server.add("a")
    server.add("b")
    server.settle()
    assert len(server.running) == 1, "there is less again"


def test_no_instance_gets_a_second_batch_while_it_runs() -> None:
    server = Server({"a": (needing(),)})
    server.add("a", 2)
    assert len(server.settle().running) == 1


amounts = st.lists(st.integers(0, 3), min_size=1, max_size=3)


@given(st.lists(amounts, min_size=1, max_size=3), st.data())
def test_nobody_starves_and_no_more_is_held_than_there_is(models: list[list[int]], data: st.DataObject) -> None:
    server = Server({str(number): tuple(needing(("R", each)) for each in needs) for number, needs in enumerate(models)})
    most = max(max(needs) for needs in models)
    added = 0
    for name in server.models:
        count = data.draw(st.integers(0, 5))
        if count:
            server.add(name, count)
        added += count
    server.settle()
    while server.running:
        assert sum(models[int(name)][peer % 10] for name, peer, _ in server.running) <= most
        server.finish(data.draw(st.integers(0, len(server.running) - 1)))
    assert len(server.history) == added


# ---- at load -------------------------------------------------------------------------------------------------------


def refusal(specs: Iterable[InstanceSpec], given: Given) -> str:
    with pytest.raises(TisError) as caught:
        check_resources(specs, given)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_an_instance_that_could_never_run_is_refused() -> None:
    text = 'Resource count for "R1" is limited to {} which will prevent scheduling of one or more model instances, '
    text += "the minimum required count is 4"
    assert refusal([needing(("R1", 4))], (("R1", 3, -1),)) == text.format(3)
    assert refusal([needing(("R1", 4))], (("R2", 8, -1),)) == text.format(0)
    assert refusal([needing(("R1", 4), device=1)], (("R1", 8, 0), ("R1", 2, -1))) == text.format(2)
    check_resources([needing(("R1", 4))], ())
    check_resources([msgspec.structs.replace(needing(("R1", 4)), passive=True)], (("R1", 3, -1),))
    check_resources([needing(("R1", 4))], (("R1", 4, -1),))
    check_resources([needing(("R1", 4), device=1)], (("R1", 4, 1),))
    check_resources([needing(("R1", 4), device=1, shared=True)], (("R1", 4, 0),))


def test_a_resource_is_either_shared_or_a_devices() -> None:
    assert refusal([needing(("R", 1)), needing(("R", 1), shared=True)], ()) == (
        'Resource "R" is present as both global and device-specific resource in the model configuration.'
    )
