"""The request of one step: made from the tensors that it reads, and checked against the step's model."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from tis.contracts import messages as m
from tis.contracts.inference import InferRequest, InputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import EnsembleStepSpec
from tis.contracts.validation import batch_key, check_request
from tis.errors import internal, invalid
from tis.scheduler.ensembles.tensors import Frame, Held, Marks, Value, adapted

_NO_BODY: Final = m.WorkBody("", (), (), None)
_SEQUENCE_PARAMETERS: Final = ("sequence_id", "sequence_start", "sequence_end")


class StepRequest:
    """What a step is asked, but for who asks."""

    __slots__ = ("batch_key", "batch_size", "body", "held", "marks")

    def __init__(
        self,
        model: ModelSpec,
        step: EnsembleStepSpec,
        frame: Frame,
        origin: m.WorkBody,
        own_marks: Marks,
        outputs: tuple[int, ...] | None,
        placements: tuple[m.OutputPlacement, ...],
    ) -> None:
        """Make it.

        Args:
            model: the step's model.
            step: its configuration.
            frame: holds every tensor that the step reads.
            origin: the body of the ensemble's request.
            own_marks: of the ensemble's request; a step before may have said something else.
            outputs: positions of the wanted outputs; None for all.
            placements: where outputs go that the client wants in its own memory.

        Raises:
            TisError: the tensors do not fit the model, in Triton's words.
        """
        tensors: list[InputTensor] = []
        values: list[Value] = []
        said: Marks | None = None
        for name, tensor in step.inputs.items():
            value = frame.values[tensor]
            if value is None:
                continue
            tensors.append(_input_of(model, name, value))
            values.append(value)
            if said is None:
                said = value.marks
        self.marks = own_marks if said is None else said
        self.batch_size = check_request(model, InferRequest(model.name, model.version, origin.client_id, tensors))
        self.batch_key = batch_key(model, tensors)
        #: The blocks that it reads, each once for every tensor of the ensemble.
        self.held = [value.held for value in _once(step, frame) if value.held is not None]
        blocks, refs = _placed(model, tensors, values, origin, Counter(self.held))
        body = m.WorkBody(origin.client_id, blocks, refs, outputs, placements, origin.parameters)
        self.body = m.encode_body(body)

    def wishes(self, origin: m.Wishes | None) -> m.Wishes | None:
        """What the step is told of the client's wishes; None for nothing."""
        priority, timeout_us = (origin.priority, origin.timeout_us) if origin is not None else (0, 0)
        if not (priority or timeout_us or self.marks != Marks()):
            return None
        return m.Wishes(priority, timeout_us, *self.marks)


def marks_after(marks: Marks, parameters: Mapping[str, str | int | bool | float]) -> Marks:
    """The sequence of later steps: that of this step, unless parameters of its response say otherwise.

    Raises:
        TisError: INVALID_ARG for a parameter of the wrong kind, in Triton's words.
    """
    if not any(name in parameters for name in _SEQUENCE_PARAMETERS):
        return marks
    sequence_id = parameters.get("sequence_id", marks.sequence_id)
    if isinstance(sequence_id, bool | float):
        raise invalid(
            "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or TRITONSERVER_PARAMETER_STRING"
        )
    flags = [parameters.get(name, False) for name in ("sequence_start", "sequence_end")]
    for name, flag in zip(("sequence_start", "sequence_end"), flags, strict=True):
        if not isinstance(flag, bool):
            raise invalid(f"expect parameter '{name}' to be TRITONSERVER_PARAMETER_BOOL")
    return Marks(sequence_id, bool(flags[0]), bool(flags[1]))


def _input_of(model: ModelSpec, name: str, value: Value) -> InputTensor:
    spec = model.inputs_by_name.get(name)
    if spec is None:
        # The model has been loaded anew with another configuration since the ensemble was checked.
        raise internal(f"model '{model.name}' version {model.version} has no input '{name}'")
    shape = adapted(value.shape, value.batch_size, spec.shape, batching=model.max_batch_size > 0)
    return InputTensor(name, value.datatype, shape, value.size_bytes, value.start, value.region)


def _once(step: EnsembleStepSpec, frame: Frame) -> list[Value]:
    """The tensors that a step reads, each once though several inputs may be the same tensor."""
    found = [frame.values[tensor] for tensor in dict.fromkeys(step.inputs.values())]
    return [value for value in found if value is not None]


def _placed(
    model: ModelSpec,
    tensors: list[InputTensor],
    values: list[Value],
    origin: m.WorkBody,
    own_uses: Mapping[Held, int],
) -> tuple[tuple[m.BlockRef, ...], tuple[m.TensorRef, ...]]:
    """The blocks that the tensors lie in, and where in them."""
    numbers: dict[Held, int] = {}
    refs = []
    positions = model.input_positions
    for tensor, value in zip(tensors, values, strict=True):
        block = numbers.setdefault(value.held, len(numbers)) if value.held is not None else 0
        shared = value.held is not None and value.held.uses > own_uses[value.held]
        refs.append(
            m.TensorRef(
                positions[tensor.name], tensor.shape, tensor.start, tensor.size_bytes, tensor.region, block, shared
            )
        )
    # A tensor without bytes lies nowhere: any block will do.
    return tuple(held.block for held in numbers) or origin.blocks[:1], tuple(refs)
