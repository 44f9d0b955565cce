"""Small ensembles and the models of their steps, and what tests ask of their answers."""

from collections.abc import Callable

from tests.unit.scheduler.ensembles.world import Running, World, ensemble, model, step
from tis.contracts import messages as m

ONE = model("one", ["X"], ["Y"])
TWO = model("two", ["X"], ["Y"])
JOIN = model("join", ["L", "R"], ["Y"])
MODELS = {"one": ONE, "two": TWO, "join": JOIN}

CHAIN = ensemble(["I"], ["O"], step("one", {"X": "I"}, {"Y": "t"}), step("two", {"X": "t"}, {"Y": "O"}))
DIAMOND = ensemble(
    ["I"],
    ["A", "B", "O"],
    step("one", {"X": "I"}, {"Y": "A"}),
    step("two", {"X": "I"}, {"Y": "B"}),
    step("join", {"L": "A", "R": "B"}, {"Y": "O"}),
)


def says(world: World) -> Callable[[Running], dict[str, object]]:
    """Steps that tell their name and what they read."""

    def made(running: Running) -> dict[str, object]:
        read = ",".join(str(value) for _, value in sorted(world.values(running).items()))
        return dict.fromkeys(world.wanted(running), f"{running.infer.model}({read})")

    return made


def failure(world: World, request_id: int = 1) -> m.Failure:
    [answer] = world.answers[request_id]
    assert isinstance(answer, m.Failure)
    return answer


def names(world: World) -> list[str]:
    return sorted(each.infer.model for each in world.running)
