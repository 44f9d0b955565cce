"""What an ensemble promises, one thing at a time: order, errors, parameters."""

import msgspec
import pytest

from tests.unit.scheduler.ensembles.examples import CHAIN, DIAMOND, MODELS, ONE, TWO, failure, names, says
from tests.unit.scheduler.ensembles.world import World, ensemble, model, run_all, step
from tis.contracts import messages as m
from tis.contracts.metrics import CANCELED, FAILURE_REASONS

# ---- order ---------------------------------------------------------------------------------------------------------


def test_a_step_runs_once_the_step_before_has_answered_and_reads_its_block_in_place() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    assert names(world) == ["one"]
    world.respond(world.of("one"), {"Y": "t!"})
    second = world.of("two")
    assert world.values(second) == {"X": "t!"}
    world.respond(second, {"Y": "o!"})
    assert world.outputs[1] == [{"O": "o!"}]
    assert world.nothing_left()


def test_steps_that_do_not_depend_on_each_other_run_at_the_same_time() -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"})
    assert names(world) == ["one", "two"]
    world.respond(world.of("two"), {"Y": "b"})
    assert names(world) == ["one"]
    world.respond(world.of("one"), {"Y": "a"})
    assert world.values(world.of("join")) == {"L": "a", "R": "b"}


@pytest.mark.parametrize(
    ("outputs", "run"), [((0,), ["one"]), ((1,), ["two"]), ((0, 1), ["one", "two"]), ((2,), ["join", "one", "two"])]
)
def test_steps_that_only_unrequested_outputs_need_do_not_run(outputs: tuple[int, ...], run: list[str]) -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"}, outputs=outputs)
    ran = []
    while world.running:
        running = world.running[0]
        ran.append(running.infer.model)
        world.respond(running, says(world)(running))
    assert sorted(ran) == run
    assert set(world.outputs[1][0]) == {DIAMOND.outputs[index].name for index in outputs}


def test_a_tensor_is_shared_only_while_another_step_is_to_read_it() -> None:
    spec = ensemble(
        ["I"],
        ["O"],
        step("one", {"X": "I"}, {"Y": "t"}),
        step("two", {"X": "t"}, {"Y": "u"}),
        step("join", {"L": "t", "R": "u"}, {"Y": "O"}),
    )
    world = World(spec, MODELS)
    world.ask(1, {"I": "i"})
    shared = {}
    while world.running:
        running = world.running[0]
        shared[running.infer.model] = [ref.shared for ref in running.body.inputs]
        world.respond(running, says(world)(running))
    assert shared == {"one": [False], "two": [True], "join": [False, False]}


def test_outputs_come_in_the_order_of_the_reference_with_a_block_for_each_step() -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"})
    run_all(world, says(world))
    [answer] = world.answers[1]
    assert isinstance(answer, m.Reply)
    assert [each.name for each in answer.outputs or ()] == ["O", "B", "A"]
    assert len({each.offset for each in answer.blocks}) == 3


def test_a_request_keeps_to_the_versions_that_were_ready_when_it_began() -> None:
    models = dict(MODELS)
    world = World(CHAIN, models)
    world.ask(1, {"I": "i"})
    models["two"] = msgspec.structs.replace(TWO, version=2)
    world.respond(world.of("one"), {"Y": "t"})
    assert world.of("two").infer.version == 1
    world.respond(world.of("two"), {"Y": "o"})
    world.ask(2, {"I": "i"})
    world.respond(world.of("one"), {"Y": "t"})
    assert world.of("two").infer.version == 2


# ---- errors --------------------------------------------------------------------------------------------------------


def test_an_error_of_a_step_ends_the_request_with_the_steps_code_and_the_ensembles_name() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    world.fail(world.of("one"), "NOT_FOUND", "no luck")
    assert failure(world) == m.Failure(1, "NOT_FOUND", "in ensemble 'e', no luck", complete=True)


def test_after_an_error_the_steps_that_still_read_blocks_are_waited_for() -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"})
    world.fail(world.of("one"))
    assert not world.done(1)
    world.respond(world.of("two"), {"Y": "b"})
    assert failure(world).text == "in ensemble 'e', boom"
    assert world.nothing_left()


def test_an_error_that_is_not_complete_gets_the_requests_id() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    running = world.running.pop()
    refused = m.Failure(running.infer.request_id, "UNAVAILABLE", "Exceeds maximum queue size")
    world.carry_out(running.ask.by.answered(refused, 0))
    assert failure(world).text == "in ensemble 'e', [request id: id] Exceeds maximum queue size"


def test_a_step_without_a_ready_version_is_an_error() -> None:
    world = World(CHAIN, {"one": ONE})
    world.ask(1, {"I": "i"})
    assert failure(world).text == "in ensemble 'e', Request for unknown model: 'two' is not found"
    assert world.scheduler.statistics.snapshot().fail.count == 1


def test_a_tensor_that_does_not_fit_the_next_step_is_refused_in_the_words_of_a_request() -> None:
    narrow = model("two", ["X"], ["Y"], dims=(3,))
    world = World(CHAIN, {**MODELS, "two": narrow})
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), {"Y": "t"})
    text = "in ensemble 'e', [request id: id] unexpected shape for input 'X' for model 'two'. Expected [3], got [1]. "
    assert failure(world) == m.Failure(1, "INVALID_ARG", text, complete=True)
    assert world.nothing_left()


def test_an_input_that_a_step_left_out_is_missing_in_the_next_one() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), {})
    assert "expected 1 inputs but got 0 inputs for model 'two'" in failure(world).text


def test_an_output_that_its_step_left_out_is_left_out() -> None:
    world = World(DIAMOND, {**MODELS, "join": model("join", ["L", "R"], ["Y"], optional=True)})
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), {"Y": "a"})
    world.respond(world.of("two"), {})
    world.respond(world.of("join"), {"Y": "o"})
    assert world.outputs[1] == [{"A": "a", "O": "o"}]


def test_steps_that_never_answer_with_tensors_are_a_deadlock() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), None)
    assert failure(world).text == (
        "in ensemble 'e', [request id: id] unexpected deadlock, at least one output is not set while no more ensemble "
        "steps can be made"
    )


def test_a_cancelled_request_withdraws_its_steps_and_ends_with_the_last_of_them() -> None:
    world = World(DIAMOND, MODELS)
    world.ask(1, {"I": "i"})
    world.cancel(1)
    world.cancel(1)
    assert all(each.withdrawn for each in world.running)
    world.respond(world.of("one"), {"Y": "a"})
    assert not world.done(1)
    world.fail(world.of("two"), "CANCELLED", "the request was cancelled")
    assert failure(world).code == "CANCELLED"
    reasons = dict(zip(FAILURE_REASONS, world.scheduler.metrics(0).failures, strict=True))
    assert reasons[CANCELED] == 1


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_every_step_gets_the_clients_id_parameters_and_wishes() -> None:
    world = World(CHAIN, MODELS)
    wishes = m.Wishes(2, 1000, 7, True, False)
    world.ask(1, {"I": "i"}, wishes=wishes)
    for name in ("one", "two"):
        running = world.of(name)
        assert running.infer.wishes == wishes
        assert (running.body.client_id, running.body.parameters) == ("id", {"mine": "yes"})
        world.respond(running, {"Y": "y"})
    [answer] = world.answers[1]
    assert isinstance(answer, m.Reply)
    assert answer.parameters == {"sequence_id": 7, "sequence_start": True, "sequence_end": False}


def test_a_steps_response_changes_the_sequence_of_later_steps_and_of_nothing_else() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"}, wishes=m.Wishes(2, 0, 7, True, True))
    world.respond(world.of("one"), {"Y": "t"}, parameters={"sequence_id": "s", "sequence_end": True, "other": 1})
    assert world.of("two").infer.wishes == m.Wishes(2, 0, "s", False, True)
    world.respond(world.of("two"), {"Y": "o"})
    [answer] = world.answers[1]
    assert isinstance(answer, m.Reply)
    assert answer.parameters == {"sequence_id": "s", "sequence_start": False, "sequence_end": True}


def test_a_request_that_wants_nothing_gives_steps_no_wishes() -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    assert world.of("one").infer.wishes is None


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"sequence_id": 1.5}, "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or"),
        ({"sequence_id": True}, "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or"),
        ({"sequence_start": 1}, "expect parameter 'sequence_start' to be TRITONSERVER_PARAMETER_BOOL"),
    ],
)
def test_a_response_parameter_of_the_wrong_kind_is_an_error(
    parameters: dict[str, str | int | bool | float], text: str
) -> None:
    world = World(CHAIN, MODELS)
    world.ask(1, {"I": "i"})
    world.respond(world.of("one"), {"Y": "t"}, parameters=parameters)
    assert text in failure(world).text
    assert world.nothing_left()
