"""Random ensembles under random schedules: the answers are those of a plain interpreter, and no block is lost or freed early.

What a tensor holds is a text that says how it was made, so that two results are equal only where everything before them was.
"""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.ensembles.world import Running, World, ensemble, model, step
from tis.config.ensemble_steps import check_steps
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import EnsembleStepSpec
from tis.errors import TisError


@dataclass
class Sketch:
    """An ensemble, its models, and which responses and outputs each step gives."""

    spec: ModelSpec
    models: dict[str, ModelSpec]
    responses: dict[str, int]
    omitted: set[tuple[str, str]]

    def made(self, name: str, inputs: dict[str, object], response: int) -> dict[str, object]:
        """What a step answers: every output tells its step, what it read and which response it is."""
        read = ",".join(f"{each}={inputs[each]}" for each in sorted(inputs))
        return {
            each.name: f"{name}.{each.name}{response}({read})"
            for each in self.models[name].outputs
            if (name, each.name) not in self.omitted
        }


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    """An ensemble whose steps read any tensors that exist before them."""
    inputs = [f"I{number}" for number in range(draw(st.integers(1, 3)))]
    tensors = list(inputs)
    steps: list[EnsembleStepSpec] = []
    models: dict[str, ModelSpec] = {}
    for number in range(draw(st.integers(1, 6))):
        name = f"m{number}"
        read = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3))
        made = [f"T{number}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        steps.append(
            step(
                name,
                {f"X{index}": tensor for index, tensor in enumerate(read)},
                {f"Y{index}": tensor for index, tensor in enumerate(made)},
            )
        )
        names = [f"X{index}" for index in range(len(read))], [f"Y{index}" for index in range(len(made))]
        models[name] = model(name, *names, optional=True)
        tensors += made
    outputs = draw(st.lists(st.sampled_from(tensors[len(inputs) :]), min_size=1, max_size=4, unique=True))
    most = draw(st.sampled_from([0, 0, 1, 2]))
    spec = ensemble(inputs, outputs, *steps, most=most, optional=True)
    for name in draw(st.lists(st.sampled_from(sorted(models)), max_size=2, unique=True)):
        tried = {**models, name: model(name, *_names(models[name]), optional=True, decoupled=True)}
        try:
            decoupled = check_steps(spec, tried)
        except TisError:
            continue
        models = tried
        spec = ensemble(inputs, outputs, *steps, most=most, optional=True, decoupled=decoupled)
    responses = {name: draw(st.integers(0, 3)) if models[name].decoupled else 1 for name in models}
    every = [(name, each.name) for name in models for each in models[name].outputs]
    omitted = set(draw(st.lists(st.sampled_from(every), max_size=2)))
    return Sketch(spec, models, responses, omitted)


def _names(spec: ModelSpec) -> tuple[list[str], list[str]]:
    return [each.name for each in spec.inputs], [each.name for each in spec.outputs]


def interpreted(sketch: Sketch, inputs: dict[str, object], wanted: set[str]) -> list[dict[str, object]]:
    """The responses in any order: every step in turn, on one row of tensors for each response of a decoupled one."""
    steps = sketch.spec.ensemble.steps if sketch.spec.ensemble is not None else ()
    needed = set(wanted)
    running: list[EnsembleStepSpec] = []
    for each in reversed(steps):
        if needed & set(each.outputs.values()):
            needed |= set(each.inputs.values())
            running.insert(0, each)
    rows: list[dict[str, object]] = [dict(inputs)]
    for each in running:
        following = []
        for row in rows:
            read = {name: row[tensor] for name, tensor in each.inputs.items() if tensor in row}
            for response in range(sketch.responses[each.model]):
                made = sketch.made(each.model, read, response)
                following.append(row | {each.outputs[name]: value for name, value in made.items()})
        rows = following
    return [{name: row[name] for name in wanted if name in row} for row in rows]


def counted(responses: list[dict[str, object]]) -> Counter[str]:
    """Responses whose order does not matter."""
    return Counter(str(sorted(each.items())) for each in responses)


def one_answer(draw: st.DataObject, sketch: Sketch, world: World, running: Running) -> None:
    """A step gives its next response."""
    name = running.infer.model
    total = sketch.responses[name]
    if running.responses >= total:
        world.respond(running, None)
        return
    made = sketch.made(name, world.values(running), running.responses)
    asked = world.wanted(running)
    last = running.responses == total - 1 and (not sketch.models[name].decoupled or draw.draw(st.booleans()))
    world.respond(running, {each: made[each] for each in made if each in asked}, final=last)


def check_limit(sketch: Sketch, world: World) -> None:
    most = sketch.spec.ensemble.max_inflight_requests if sketch.spec.ensemble is not None else 0
    if most:
        assert max(Counter(each.infer.model for each in world.running).values(), default=0) <= most


def ask(draw: st.DataObject, sketch: Sketch, world: World, request_id: int) -> tuple[dict[str, object], set[str]]:
    """A request with some of the inputs for some of the outputs; gives both."""
    names = [each.name for each in sketch.spec.inputs]
    chosen = draw.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    inputs: dict[str, object] = {name: f"{name}#{request_id}" for name in chosen}
    every = range(len(sketch.spec.outputs))
    outputs = draw.draw(st.none() | st.lists(st.sampled_from(every), unique=True, min_size=1).map(sorted).map(tuple))
    world.ask(request_id, inputs, outputs=outputs)
    return inputs, {sketch.spec.outputs[index].name for index in (every if outputs is None else outputs)}


@settings(max_examples=300, deadline=None)
@given(sketches(), st.data())
def test_answers_are_those_of_an_interpreter_and_every_block_leaves_once_after_its_last_reader(
    sketch: Sketch, draw: st.DataObject
) -> None:
    world = World(sketch.spec, sketch.models)
    expected = {}
    for request_id in range(1, draw.draw(st.integers(1, 3)) + 1):
        expected[request_id] = interpreted(sketch, *ask(draw, sketch, world, request_id))
        check_limit(sketch, world)
    while world.running:
        one_answer(draw, sketch, world, draw.draw(st.sampled_from(world.running)))
        check_limit(sketch, world)
    assert world.nothing_left()
    for request_id, responses in expected.items():
        assert world.done(request_id)
        assert not any(isinstance(each, m.Failure) for each in world.answers[request_id])
        assert counted(world.outputs[request_id]) == counted(responses)
    assert world.scheduler.statistics.snapshot().success.count == len(expected)


@settings(max_examples=300, deadline=None)
@given(sketches(), st.data())
def test_whatever_fails_or_is_cancelled_when_nothing_is_lost_and_each_request_ends_once(
    sketch: Sketch, draw: st.DataObject
) -> None:
    world = World(sketch.spec, sketch.models)
    count = draw.draw(st.integers(1, 3))
    for request_id in range(1, count + 1):
        ask(draw, sketch, world, request_id)
    while world.running:
        check_limit(sketch, world)
        event = draw.draw(st.sampled_from(["answer", "answer", "answer", "fail", "fail first", "cancel"]))
        running = draw.draw(st.sampled_from(world.running))
        if event == "cancel":
            world.cancel(draw.draw(st.integers(1, count)))
        elif event == "fail" or running.withdrawn:
            world.fail(running)
        elif event == "fail first" and sketch.models[running.infer.model].decoupled:
            world.fail(running, final=False)
        else:
            one_answer(draw, sketch, world, running)
    assert world.nothing_left()
    assert all(world.done(request_id) for request_id in range(1, count + 1))
    snapshot = world.scheduler.statistics.snapshot()
    assert snapshot.success.count + snapshot.fail.count == count
