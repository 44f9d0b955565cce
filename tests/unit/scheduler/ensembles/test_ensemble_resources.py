"""What an ensemble promises of shapes, clients' memory, responses, turns and statistics."""

import msgspec
import pytest

from tests.unit.scheduler.ensembles.examples import CHAIN, DIAMOND, MODELS, ONE, TWO, failure, names
from tests.unit.scheduler.ensembles.world import SIZE_BYTES, World, ensemble, model, step
from tis.contracts import messages as m
from tis.contracts.metrics import FAILURE_REASONS, OTHER
from tis.contracts.model_spec import ModelSpec
from tis.scheduler.decisions import Ask
from tis.scheduler.ensembles.scheduler import EnsembleScheduler
from tis.scheduler.queued import QueuedRequest

# ---- shapes --------------------------------------------------------------------------------------------------------


def batching(spec: ModelSpec) -> ModelSpec:
    return msgspec.structs.replace(spec, max_batch_size=4)


@pytest.mark.parametrize(
    ("spec", "first", "second", "given", "seen", "answered"),
    [
        (CHAIN, ONE, TWO, (1,), ((1,), (1,)), (1,)),
        (CHAIN, batching(ONE), TWO, (1,), ((1, 1), (1,)), (1,)),
        (CHAIN, ONE, batching(TWO), (1,), ((1,), (1, 1)), (1,)),
        (batching(CHAIN), ONE, batching(TWO), (1, 1), ((1,), (1, 1)), (1, 1)),
        (batching(CHAIN), batching(ONE), TWO, (1, 1), ((1, 1), (1,)), (1, 1)),
    ],
)
def test_a_leading_one_comes_and_goes_between_models_with_and_without_batching(
    spec: ModelSpec,
    first: ModelSpec,
    second: ModelSpec,
    given: tuple[int, ...],
    seen: tuple[tuple[int, ...], ...],
    answered: tuple[int, ...],
) -> None:
    world = World(spec, {"one": first, "two": second})
    world.ask(1, {"I": "i"}, shape=given)
    for name, shape in zip(("one", "two"), seen, strict=True):
        running = world.of(name)
        assert [each.shape for each in running.body.inputs] == [shape]
        assert running.infer.batch_size == (1 if world.models[name].max_batch_size else 0)
        world.respond(running, {"Y": "y"}, shape=shape)
    [answer] = world.answers[1]
    assert isinstance(answer, m.Reply)
    assert [each.shape for each in answer.outputs or ()] == [answered]


# ---- regions -------------------------------------------------------------------------------------------------------


def test_an_output_wanted_in_a_region_is_written_there_by_its_step_and_read_from_there_by_others() -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"}, placements=(m.OutputPlacement(0, 9, 100, SIZE_BYTES),))
    assert world.of("one").body.placements == (m.OutputPlacement(0, 9, 100, SIZE_BYTES, "A"),)
    assert world.of("two").body.placements == ()
    world.respond(world.of("one"), {"Y": "a"})
    world.respond(world.of("two"), {"Y": "b"})
    assert world.values(world.of("join")) == {"L": "region 9", "R": "b"}
    world.respond(world.of("join"), {"Y": "o"})
    assert world.outputs[1] == [{"A": "region 9", "B": "b", "O": "o"}]
    assert world.nothing_left()


def test_an_input_in_a_region_is_read_there() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"}, regions={"I": (5, 40)})
    [ref] = world.of("one").body.inputs
    assert (ref.region, ref.start) == (5, 40)


@pytest.mark.parametrize(
    ("output", "start", "allowed"), [(2, 40, True), (2, 42, True), (0, 40, False), (0, 43, False), (0, 44, True)]
)
def test_an_output_may_go_over_an_input_only_where_nobody_reads_that_any_more(
    output: int, start: int, allowed: bool
) -> None:
    world = World(DIAMOND, MODELS)
    place = m.OutputPlacement(output, 5, start, SIZE_BYTES)
    world.ask(1, {"I": "i"}, regions={"I": (5, 40)}, placements=(place,))
    if allowed:
        assert names(world) == ["one", "two"]
        return
    assert "output 'A' would be written over input 'I'" in failure(world).text


# ---- decoupled -----------------------------------------------------------------------------------------------------

MANY = model("one", ["X"], ["Y"], decoupled=True)
STREAM = msgspec.structs.replace(CHAIN, decoupled=True)


def test_later_steps_run_for_each_response_of_a_decoupled_one() -> None:
    world = World(STREAM, {"one": MANY, "two": TWO})
    world.ask(1, {"I": "i"})
    source = world.of("one")
    world.respond(source, {"Y": "a"}, final=False)
    world.respond(source, {"Y": "b"}, final=False)
    first, second = [each for each in world.running if each is not source]
    world.respond(second, {"Y": "B"})
    world.respond(first, {"Y": "A"})
    assert world.outputs[1] == [{"O": "B"}, {"O": "A"}]
    assert not world.done(1)
    world.respond(source, None)
    assert world.answers[1][-1] == m.Reply(1, (), None)
    assert world.nothing_left()
    assert world.scheduler.statistics.snapshot().success.count == 1


def test_the_last_response_is_final_where_nothing_runs_beside_it() -> None:
    world = World(STREAM, {"one": MANY, "two": TWO})
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), {"Y": "a"})
    world.respond(world.of("two"), {"Y": "A"})
    [answer] = world.answers[1]
    assert answer.final


def test_a_decoupled_step_that_gives_no_response_gives_none() -> None:
    world = World(STREAM, {"one": MANY, "two": TWO})
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), None)
    assert world.answers[1] == [m.Reply(1, (), None)]


# ---- max_inflight_requests -----------------------------------------------------------------------------------------


def limited(most: int) -> World:
    spec = ensemble(["I"], ["O"], step("one", {"X": "I"}, {"Y": "t"}), step("two", {"X": "t"}, {"Y": "O"}), most=most)
    return World(spec, MODELS)


def test_only_so_many_requests_are_in_a_step_and_the_others_follow_in_order() -> None:
    world = limited(1)
    for request_id in (1, 2, 3):
        world.ask(request_id, {"I": str(request_id)})
    order = []
    while world.running:
        for running in tuple(world.running):
            order.append((running.infer.model, *world.values(running).values()))
            world.respond(running, {"Y": next(iter(world.values(running).values()))})
            assert len([each for each in world.running if each.infer.model == "one"]) <= 1
    assert [value for name, value in order if name == "one"] == ["1", "2", "3"]
    assert all(world.done(request_id) for request_id in (1, 2, 3))


def test_a_request_that_is_cancelled_while_it_waits_for_its_turn_is_answered_at_once_and_skipped() -> None:
    world = limited(1)
    for request_id in (1, 2, 3):
        world.ask(request_id, {"I": str(request_id)})
    world.cancel(2)
    assert failure(world, 2).code == "CANCELLED"
    world.respond(world.of("one"), {"Y": "t"})
    assert world.values(world.of("one")) == {"X": "3"}


# ---- statistics ----------------------------------------------------------------------------------------------------


def test_compute_times_are_sums_over_the_steps_whenever_they_are_told() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    first = world.of("one")
    world.respond(first, {"Y": "t"})
    assert first.ask.timed is not None
    first.ask.timed.computed(1, 2, 3)
    second = world.of("two")
    world.respond(second, {"Y": "o"})
    assert second.ask.timed is not None
    second.ask.timed.computed(10, 20, 30)
    found = world.scheduler.statistics.snapshot()
    assert (found.inference_count, found.execution_count, found.success.count, found.queue.count) == (1, 1, 1, 1)
    assert found.compute_input == m.Duration(1, 11)
    assert found.compute_infer == m.Duration(1, 22)
    assert found.compute_output == m.Duration(1, 33)
    assert found.batches == (m.BatchStatistics(1, m.Duration(1, 11), m.Duration(1, 22), m.Duration(1, 33)),)


def test_a_request_that_failed_is_counted_once_and_its_steps_times_are_not() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    first = world.of("one")
    world.respond(first, {"Y": "t"})
    assert first.ask.timed is not None
    first.ask.timed.computed(1, 2, 3)
    world.fail(world.of("two"))
    found = world.scheduler.statistics.snapshot()
    assert (found.success.count, found.fail.count, found.compute_infer.count) == (0, 1, 0)
    assert dict(zip(FAILURE_REASONS, world.scheduler.metrics(0).failures, strict=True))[OTHER] == 1


def test_an_ensemble_inside_another_tells_it_its_steps_times() -> None:
    told = []

    class Outer:
        def computed(self, *times_ns: int) -> None:
            told.append(times_ns)

    inner = EnsembleScheduler(CHAIN, 1, World(CHAIN, MODELS).find)
    tensor = m.TensorRef(0, (1,), 0, SIZE_BYTES)
    body = m.encode_body(m.WorkBody("", (m.BlockRef(0, 1),), (tensor,), None))
    request = QueuedRequest(m.Infer(1, 1, "e", 1, 0, b"", 0, body), 0, timed=Outer())
    [ask] = inner.add(request, 0)
    for offset in (64, 128):
        assert isinstance(ask, Ask)
        ref = m.OutputRef("Y", "FP32", (1,), 0, SIZE_BYTES)
        reply = m.Reply(ask.infer.request_id, (m.BlockRef(offset, 1),), (ref,))
        following = [each for each in ask.by.answered(reply, 0) if isinstance(each, Ask)]
        assert ask.timed is not None
        ask.timed.computed(1, 2, 3)
        ask = following[0] if following else ask
    assert tuple(map(sum, zip(*told, strict=True))) == (2, 4, 6)
    assert inner.queued == 0
