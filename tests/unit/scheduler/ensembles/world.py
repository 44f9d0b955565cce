"""A world around an ensemble's scheduler: a pool of blocks with what is in them, and steps that answer when they are told.

It knows which blocks are alive and who reads them, and fails at once where one is released too early or twice.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import msgspec

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import EnsembleSpec, EnsembleStepSpec
from tis.errors import TisError, not_found
from tis.scheduler.decisions import Answer, Ask, Decision, Release, Withdraw
from tis.scheduler.ensembles.scheduler import EnsembleScheduler
from tis.scheduler.queued import QueuedRequest

SCHEDULER: Final = 1
FRONTEND: Final = 2
#: The block that a request's own tensors lie in; never released here.
FRONTEND_BLOCK: Final = m.BlockRef(0, 1)
SIZE_BYTES: Final = 4


def model(
    name: str,
    inputs: Iterable[str],
    outputs: Iterable[str],
    *,
    decoupled: bool = False,
    optional: bool = False,
    max_batch_size: int = 0,
    dims: tuple[int, ...] = (-1,),
) -> ModelSpec:
    """A model of FP32 tensors."""
    return ModelSpec(
        name,
        1,
        "",
        "onnxruntime",
        max_batch_size,
        tuple(TensorSpec(each, "FP32", dims, optional=optional) for each in inputs),
        tuple(TensorSpec(each, "FP32", dims) for each in outputs),
        decoupled=decoupled,
    )


def step(name: str, inputs: dict[str, str], outputs: dict[str, str], version: int = -1) -> EnsembleStepSpec:
    """A step; inputs and outputs by the model's names."""
    return EnsembleStepSpec(name, version, inputs, outputs)


def ensemble(
    inputs: Iterable[str],
    outputs: Iterable[str],
    *steps: EnsembleStepSpec,
    most: int = 0,
    decoupled: bool = False,
    name: str = "e",
    max_batch_size: int = 0,
    dims: tuple[int, ...] = (-1,),
    optional: bool = False,
) -> ModelSpec:
    """An ensemble of FP32 tensors."""
    spec = model(
        name, inputs, outputs, decoupled=decoupled, optional=optional, max_batch_size=max_batch_size, dims=dims
    )
    return msgspec.structs.replace(spec, ensemble=EnsembleSpec(steps, most))


@dataclass(eq=False)
class Running:
    """A step that has been asked and has not answered for the last time."""

    infer: m.Infer
    ask: Ask
    body: m.WorkBody
    responses: int = 0
    withdrawn: bool = False


@dataclass
class World:
    """Everything around the scheduler of one ensemble."""

    spec: ModelSpec
    models: dict[str, ModelSpec]
    running: list[Running] = field(default_factory=list)
    #: What lies in each living block, by where it begins.
    blocks: dict[tuple[int, int], dict[int, object]] = field(default_factory=dict)
    #: Blocks that went on to the frontend.
    handed_on: set[tuple[int, int]] = field(default_factory=set)
    answers: dict[int, list[m.Reply | m.Failure]] = field(default_factory=dict)
    #: The outputs of each response by request, read at the moment of the answer.
    outputs: dict[int, list[dict[str, object]]] = field(default_factory=dict)
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.scheduler = EnsembleScheduler(self.spec, SCHEDULER, self.find)
        self.requests: dict[int, QueuedRequest] = {}
        self._offsets = count(64, 64)

    def find(self, name: str, version: int) -> ModelSpec:
        """The ready version of a model."""
        spec = self.models.get(name)
        if spec is None or version not in (-1, spec.version):
            raise not_found(f"Request for unknown model: '{name}' is not found")
        return spec

    # ---- the client's side -----------------------------------------------------------------------------------------

    def ask(
        self,
        request_id: int,
        inputs: dict[str, object],
        *,
        outputs: tuple[int, ...] | None = None,
        shape: tuple[int, ...] = (1,),
        wishes: m.Wishes | None = None,
        regions: dict[str, tuple[int, int]] | None = None,
        placements: tuple[m.OutputPlacement, ...] = (),
    ) -> None:
        """A request with these inputs; `regions` gives region and start of those that lie in the client's memory."""
        contents = self.blocks.setdefault((FRONTEND_BLOCK.offset, FRONTEND_BLOCK.generation), {})
        refs = []
        for name, value in inputs.items():
            start = len(contents) * SIZE_BYTES
            region, at = (regions or {}).get(name, (0, start))
            contents[start] = value
            refs.append(m.TensorRef(self.spec.input_positions[name], shape, at, SIZE_BYTES, region))
        body = m.WorkBody("id", (FRONTEND_BLOCK,), tuple(refs), outputs, placements, {"mine": "yes"})
        batch_size = shape[0] if self.spec.max_batch_size else 0
        infer = m.Infer(
            request_id, FRONTEND, self.spec.name, 1, batch_size, b"", self.now_ns, m.encode_body(body), wishes
        )
        request = self.requests[request_id] = QueuedRequest(infer, self.now_ns)
        self.answers[request_id], self.outputs[request_id] = [], []
        try:
            self.carry_out(self.scheduler.add(request, self.now_ns))
        except TisError as error:
            raise AssertionError("an ensemble answers and does not raise") from error

    def cancel(self, request_id: int) -> None:
        """The client goes."""
        self.carry_out(self.scheduler.cancel(self.requests[request_id], self.now_ns))

    def done(self, request_id: int) -> bool:
        """True where the request has got its last answer."""
        return any(each.final for each in self.answers[request_id])

    # ---- the steps' side -------------------------------------------------------------------------------------------

    def of(self, name: str) -> Running:
        """The one running request of a model."""
        [found] = [each for each in self.running if each.infer.model == name]
        return found

    def values(self, running: Running) -> dict[str, object]:
        """What a step reads, by its inputs' names."""
        spec = self.models[running.infer.model]
        found = {}
        for ref in running.body.inputs:
            block = running.body.blocks[ref.block]
            contents = self.blocks[block.offset, block.generation]
            found[spec.inputs[ref.index].name] = f"region {ref.region}" if ref.region else contents[ref.start]
        return found

    def wanted(self, running: Running) -> list[str]:
        """The outputs that a step is asked for."""
        spec, chosen = self.models[running.infer.model], running.body.outputs
        return [each.name for number, each in enumerate(spec.outputs) if chosen is None or number in chosen]

    def respond(
        self,
        running: Running,
        outputs: dict[str, object] | None,
        *,
        final: bool = True,
        shape: tuple[int, ...] = (1,),
        parameters: dict[str, str | int | bool | float] | None = None,
    ) -> None:
        """A response with these values in a new block; None for the news that no more will come."""
        request_id = running.infer.request_id
        if outputs is None:
            self._tell(running, m.Reply(request_id, (), None))
            return
        block = m.BlockRef(next(self._offsets), 1)
        contents: dict[int, object] = {}
        refs = []
        for name, value in outputs.items():
            place = next((each for each in running.body.placements if self._output(running, each.index) == name), None)
            start = len(contents) * SIZE_BYTES
            if place is not None:
                refs.append(m.OutputRef(name, "FP32", shape, place.start, SIZE_BYTES, place.region))
                continue
            contents[start] = value
            refs.append(m.OutputRef(name, "FP32", shape, start, SIZE_BYTES))
        blocks: tuple[m.BlockRef, ...] = ()
        if contents:
            self.blocks[block.offset, block.generation] = contents
            blocks = (block,)
        self._tell(running, m.Reply(request_id, blocks, tuple(refs), parameters or {}, final))

    def fail(self, running: Running, code: str = "INTERNAL", text: str = "boom", *, final: bool = True) -> None:
        """An error."""
        self._tell(running, m.Failure(running.infer.request_id, code, text, complete=True, final=final))

    def _output(self, running: Running, index: int) -> str:
        return self.models[running.infer.model].outputs[index].name

    def _tell(self, running: Running, message: m.Reply | m.Failure) -> None:
        running.responses += 1
        if message.final:
            self.running.remove(running)
        self.carry_out(running.ask.by.answered(message, self.now_ns))

    # ---- what the loop does ----------------------------------------------------------------------------------------

    def carry_out(self, decisions: Iterable[Decision]) -> None:
        """Do what has been decided, and check that it may be done."""
        for decision in decisions:
            if isinstance(decision, Ask):
                running = Running(decision.infer, decision, m.decode_body(decision.infer.body))
                assert decision.infer.asker == SCHEDULER
                for block in running.body.blocks:
                    assert (block.offset, block.generation) in self.blocks, "a step is to read a block that is gone"
                self.running.append(running)
            elif isinstance(decision, Release):
                for block in decision.blocks:
                    self._leaves(block)
                    del self.blocks[block.offset, block.generation]
            elif isinstance(decision, Withdraw):
                for each in self.running:
                    each.withdrawn |= each.infer.request_id == decision.request_id
            else:
                assert isinstance(decision, Answer)
                self._answer(decision)

    def _answer(self, answer: Answer) -> None:
        request_id = answer.request.infer.request_id
        assert not self.done(request_id), "a request is answered after its last response"
        message = answer.message
        assert message.request_id == request_id
        self.answers[request_id].append(message)
        if isinstance(message, m.Failure):
            return
        found = {}
        for block in message.blocks:
            self._leaves(block)
        for ref in message.outputs or ():
            contents = {}
            if not ref.region:
                block = message.blocks[ref.block]
                contents = self.blocks[block.offset, block.generation]
            found[ref.name] = f"region {ref.region}" if ref.region else contents[ref.start]
        if message.outputs is not None:
            self.outputs[request_id].append(found)
        for block in message.blocks:
            del self.blocks[block.offset, block.generation]
            self.handed_on.add((block.offset, block.generation))

    def _leaves(self, block: m.BlockRef) -> None:
        """A block is about to be somebody else's."""
        key = (block.offset, block.generation)
        assert block != FRONTEND_BLOCK, "the frontend's block is not the scheduler's to release"
        assert key in self.blocks, "a block is released that is gone or was never there"
        assert all(block not in each.body.blocks for each in self.running), "a block is released that is being read"

    def nothing_left(self) -> bool:
        """True where no block but the frontend's is alive and nobody runs."""
        return not self.running and set(self.blocks) <= {(FRONTEND_BLOCK.offset, FRONTEND_BLOCK.generation)}


def run_all(world: World, outputs: Callable[[Running], dict[str, object]]) -> None:
    """Let every step answer in turn until none runs."""
    while world.running:
        running = world.running[0]
        world.respond(running, outputs(running))
