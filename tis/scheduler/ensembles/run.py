"""One request of an ensemble in flight: which tensors exist, which steps run, and who still needs which block.

Every response of a step brings blocks of shared memory. A block is released when the last step that reads something in it
has answered, unless it holds outputs of the ensemble: those blocks go on to the client's frontend with the answer. Nothing
is copied. A request that fails or is cancelled waits for the steps that still run, since they read blocks and the frontend
frees the request's own block with the answer; then it releases everything and answers.

What the loop does with a decision may call this object back at once (a step may be refused), so that the state is always
complete before a decision is handed out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tis.contracts import messages as m
from tis.contracts.inference import id_prefix
from tis.contracts.metrics import CANCELED, OTHER
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, invalid
from tis.scheduler.decisions import Answer, Ask, Decision, Release, Withdraw, own_ids
from tis.scheduler.ensembles.graph import Graph, Pruning
from tis.scheduler.ensembles.limits import StepLimits
from tis.scheduler.ensembles.regions import check_places
from tis.scheduler.ensembles.step import StepRequest, marks_after
from tis.scheduler.ensembles.tensors import Frame, Held, Marks, Value, adapted, inner_shape, outer_shape
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.statistics import Statistics

_DEADLOCK_TEXT: Final = "unexpected deadlock, at least one output is not set while no more ensemble steps can be made"
_CANCELLED_TEXT: Final = "the request was cancelled"


class StepRun:
    """A step of one request, once all that it reads exists. It is what the loop hands the step's responses to."""

    __slots__ = ("frame", "held", "infer", "marks", "number", "responded", "run")

    def __init__(self, run: "EnsembleRun", number: int, frame: Frame, request: StepRequest, infer: m.Infer) -> None:
        self.run: Final = run
        self.number: Final = number
        self.frame: Final = frame
        self.infer: Final = infer
        self.held: Final = request.held
        self.marks: Final = request.marks
        self.responded = False

    @property
    def dropped(self) -> bool:
        """True where its request has failed while it waited for its turn."""
        return self.run.failed

    def answered(self, message: m.Reply | m.Failure, now_ns: int) -> list[Decision]:
        """A response has come."""
        return self.run.step_answered(self, message, now_ns)

    def computed(self, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """It has been executed."""
        self.run.step_computed((input_ns, infer_ns, output_ns))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all requests of an ensemble share."""

    graph: Graph
    #: The scheduler's peer id, which steps are asked under.
    peer: int
    limits: StepLimits[StepRun]
    statistics: Statistics
    #: The requests in flight by what their askers name them by.
    runs: "dict[tuple[int, int], EnsembleRun]" = field(default_factory=dict)


class EnsembleRun:
    """A request of an ensemble."""

    def __init__(self, shared: Shared, request: QueuedRequest, models: Sequence[ModelSpec]) -> None:
        """Prepare it; `begin` begins.

        Args:
            shared: the ensemble.
            request: the client's request.
            models: the model of each step of the ensemble, for the whole life of the request.
        """
        self._shared: Final = shared
        self._graph: Final = shared.graph
        self._limits: Final = shared.limits
        self._statistics: Final = shared.statistics
        self.models: Final = models
        self.request: Final = request
        self._body: Final = m.decode_body(request.infer.body)
        self._marks: Final = Marks.of(request.infer.wishes)
        self._pruning: Final[Pruning] = shared.graph.pruning(self._body.outputs)
        self._root: Final = Frame()
        #: Frames in which every wanted output exists and that have not been answered with.
        self._complete: list[Frame] = []
        #: Steps that have been asked and not answered for the last time, and how many wait for their turn.
        self._running: set[StepRun] = set()
        self._waiting = 0
        #: Blocks that came with responses and are neither released nor handed on.
        self._held: set[Held] = set()
        self._error: TisError | None = None
        self._responded = False
        self._done = False
        self._started_ns = 0
        #: How long executions of steps took that have not been told to the statistics.
        self._compute_ns = (0, 0, 0)

    @property
    def failed(self) -> bool:
        """True where the request can only end with an error."""
        return self._error is not None

    # ---- from outside ----------------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> list[Decision]:
        """Ask the steps that need nothing but the client's tensors."""
        self._started_ns = now_ns
        self._shared.runs[self.request.key] = self
        decisions: list[Decision] = []
        try:
            check_places(self._graph, self._pruning, self._body)
        except TisError as error:
            self._error = error
        else:
            self._fill(self._root, self._inputs(), decisions, now_ns)
        self._settle(decisions, now_ns)
        return decisions

    def cancel(self, now_ns: int) -> list[Decision]:
        """The client has gone."""
        if self._error is None:
            self._error = TisError(Code.CANCELLED, _CANCELLED_TEXT)
        decisions: list[Decision] = [Withdraw(step.infer.request_id) for step in self._running]
        self._settle(decisions, now_ns)
        return decisions

    def step_answered(self, step: StepRun, message: m.Reply | m.Failure, now_ns: int) -> list[Decision]:
        """A step has responded."""
        decisions: list[Decision] = []
        if message.final:
            # First: what only it has shared with the steps that are asked now is theirs alone, to be written to in place.
            self._ended(step, decisions)
        if isinstance(message, m.Reply):
            self._take(step, message, decisions, now_ns)
        elif self._error is None:
            text = message.text if message.complete else id_prefix(self._body.client_id) + message.text
            self._error = TisError(Code(message.code), text)
        self._settle(decisions, now_ns)
        return decisions

    def step_computed(self, times_ns: tuple[int, int, int]) -> None:
        """An execution of a step has taken so long; told after the step's response, and perhaps after our answer."""
        known = self._compute_ns
        self._compute_ns = (known[0] + times_ns[0], known[1] + times_ns[1], known[2] + times_ns[2])
        if self._done and self._error is None:
            self._tell_times()

    # ---- tensors come ----------------------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, Value | None]:
        """The client's tensors by name; None for those that it left out."""
        spec, infer = self._graph.spec, self.request.infer
        blocks = [Held(block, owned=False) for block in self._body.blocks]
        values: dict[str, Value | None] = {each.name: None for each in spec.inputs}
        for ref in self._body.inputs:
            tensor = spec.inputs[ref.index]
            shape = inner_shape(tensor, ref.shape, batching=spec.max_batch_size > 0)
            held = None if ref.region else blocks[ref.block]
            values[tensor.name] = Value(
                tensor.datatype, shape, ref.start, ref.size_bytes, ref.region, held, infer.batch_size
            )
            if held is not None:
                held.uses += len(self._pruning.readers.get(tensor.name, ()))
        return values

    def _take(self, step: StepRun, reply: m.Reply, decisions: list[Decision], now_ns: int) -> None:
        """A step has responded with tensors."""
        decoupled = self.models[step.number].decoupled
        if self._error is not None or reply.outputs is None or (step.responded and not decoupled):
            if reply.blocks:
                decisions.append(Release(reply.blocks))
            return
        step.responded = True
        blocks = [Held(block) for block in reply.blocks]
        self._held.update(blocks)
        try:
            marks = marks_after(step.marks, reply.parameters)
        except TisError as error:
            self._error = error
            return
        made = self._pruning.makes[step.number]
        values: dict[str, Value | None] = dict.fromkeys(made.values())
        for ref in reply.outputs:
            tensor = made.get(ref.name)
            if tensor is None:
                continue
            held = blocks[ref.block] if blocks and not ref.region else None
            values[tensor] = Value(
                ref.datatype, ref.shape, ref.start, ref.size_bytes, ref.region, held, step.infer.batch_size, marks
            )
            if held is not None:
                held.uses += len(self._pruning.readers.get(tensor, ())) + (tensor in self._pruning.wanted)
        self._release([held for held in blocks if not held.uses], decisions)
        self._fill(Frame() if decoupled else step.frame, values, decisions, now_ns)

    def _fill(self, frame: Frame, values: dict[str, Value | None], decisions: list[Decision], now_ns: int) -> None:
        """Tensors exist now: ask the steps that waited for the last of them."""
        frame.values.update(values)
        pruning, missing = self._pruning, frame.missing
        ready: list[int] = []
        for tensor in values:
            for number in pruning.readers.get(tensor, ()):
                left = missing[number] = missing.get(number, len(pruning.needs[number])) - 1
                if not left:
                    ready.append(number)
        try:
            steps = [self._step(number, frame, now_ns) for number in ready]
        except TisError as error:
            self._error = error
            return
        for step in steps:
            if self._limits.enter(step.number, step):
                self._running.add(step)
                decisions.append(Ask(step.infer, step, step))
            else:
                self._waiting += 1
        wanted = pruning.wanted
        if all(tensor in frame.values for tensor in wanted) and any(tensor in values for tensor in wanted):
            self._complete.append(frame)

    # ---- steps -----------------------------------------------------------------------------------------------------

    def _step(self, number: int, frame: Frame, now_ns: int) -> StepRun:
        """A step of which everything that it reads exists.

        Raises:
            TisError: what it reads does not fit its model.
        """
        model, made = self.models[number], self._pruning.makes[number]
        positions = model.output_positions
        outputs = tuple(sorted(positions[name] for name in made if name in positions))
        names = {tensor: name for name, tensor in made.items()}
        placements = tuple(
            m.OutputPlacement(
                positions[names[tensor]],
                place.region,
                place.start,
                place.size_bytes,
                place.name or tensor,
                place.spill,
            )
            for place in self._body.placements
            if (tensor := self._graph.spec.outputs[place.index].name) in names and names[tensor] in positions
        )
        request = StepRequest(
            model,
            self._graph.steps[number],
            frame,
            self._body,
            self._marks,
            None if len(outputs) == len(positions) else outputs,
            placements,
        )
        infer = m.Infer(
            next(own_ids),
            self._shared.peer,
            model.identifier,
            model.version,
            request.batch_size,
            request.batch_key,
            now_ns,
            request.body,
            request.wishes(self.request.infer.wishes),
            load=model.load,
        )
        return StepRun(self, number, frame, request, infer)

    def _ended(self, step: StepRun, decisions: list[Decision]) -> None:
        """A step has answered for the last time: it reads nothing any more, and another one may be in its place."""
        self._running.discard(step)
        free = []
        for held in step.held:
            held.uses -= 1
            if not held.uses and held.owned:
                free.append(held)
        self._release(free, decisions)
        after = self._limits.leave(step.number)
        if after is not None:
            after.run.let_in(after)
            decisions.append(Ask(after.infer, after, after))

    def let_in(self, step: StepRun) -> None:
        """The turn of a step that waited has come."""
        self._waiting -= 1
        self._running.add(step)

    def _release(self, free: list[Held], decisions: list[Decision]) -> None:
        blocks = tuple(held.block for held in free if held in self._held)
        if blocks:
            self._held.difference_update(free)
            decisions.append(Release(blocks))

    # ---- the answer ------------------------------------------------------------------------------------------------

    def _settle(self, decisions: list[Decision], now_ns: int) -> None:
        """Answer with what is complete, and end where no step runs or will run."""
        if self._done:
            return
        idle = not self._running and (self._error is not None or not self._waiting)
        if self._error is None and (idle or self._graph.spec.decoupled):
            complete, self._complete = self._complete, []
            for frame in complete:
                self._respond(frame, decisions, final=idle and frame is complete[-1])
        if not idle:
            return
        if self._error is None and not self._responded and not self._graph.spec.decoupled:
            self._error = invalid(id_prefix(self._body.client_id) + _DEADLOCK_TEXT)
        self._done_with(decisions, now_ns)

    def _respond(self, frame: Frame, decisions: list[Decision], *, final: bool) -> None:
        """Answer with the wanted outputs of a frame; their blocks are the frontend's from here on."""
        spec, batch_size = self._graph.spec, self.request.infer.batch_size
        blocks: dict[Held, int] = {}
        outputs = []
        marks: Marks | None = None
        for name in self._pruning.wanted:
            value = frame.values[name]
            if value is None:
                continue
            tensor = spec.outputs_by_name[name]
            batching = batch_size != 0
            dims = tensor.shape if tensor.reshape is None else tensor.reshape
            shape = adapted(value.shape, value.batch_size, dims, batching=batching)
            shape = outer_shape(tensor, shape, batching=batching)
            number = blocks.setdefault(value.held, len(blocks)) if value.held is not None else 0
            outputs.append(
                m.OutputRef(name, value.datatype, shape, value.start, value.size_bytes, value.region, number)
            )
            marks = value.marks
        self._held.difference_update(blocks)
        parameters: dict[str, str | int | bool | float] = {}
        if marks is not None:
            parameters = {"sequence_id": marks.sequence_id, "sequence_start": marks.start, "sequence_end": marks.end}
        refs = tuple(held.block for held in blocks)
        reply = m.Reply(self.request.infer.request_id, refs, tuple(outputs), parameters, final)
        decisions.append(Answer(self.request, reply))
        self._responded = True
        self._done = final

    def _done_with(self, decisions: list[Decision], now_ns: int) -> None:
        """No step runs: release what is left, end the request and count it."""
        del self._shared.runs[self.request.key]
        if self._held:
            decisions.append(Release(tuple(held.block for held in self._held)))
            self._held.clear()
        request_id = self.request.infer.request_id
        if self._error is not None:
            text = f"in ensemble '{self._graph.spec.name}', {self._error.message}"
            failure = m.Failure(request_id, self._error.code, text, complete=True)
            decisions.append(Answer(self.request, failure))
            reason = CANCELED if self._error.code is Code.CANCELLED else OTHER
            self._statistics.failed(now_ns - self.request.infer.arrival_ns, reason)
        else:
            if not self._done:
                decisions.append(Answer(self.request, m.Reply(request_id, (), None)))
            self._statistics.ran(self.request, self._started_ns, now_ns)
            self._tell_times()
        self._done = True

    def _tell_times(self) -> None:
        """Tell the statistics, and the ensemble around this one, how long steps took."""
        times_ns, self._compute_ns = self._compute_ns, (0, 0, 0)
        self._statistics.computed(self.request, *times_ns)
        if self.request.timed is not None:
            self.request.timed.computed(*times_ns)
