"""A tensor of an ensemble in flight: where it lies, who still needs the block, and the shape in which a model wants it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from tis.contracts.messages import BlockRef, Wishes
from tis.contracts.model_spec import TensorSpec


@dataclass(slots=True, eq=False)
class Held:
    """A block, and how many steps and outputs still need what lies in it."""

    block: BlockRef
    #: False for a block of the request itself, which is not the ensemble's to release.
    owned: bool = True
    uses: int = 0


class Marks(NamedTuple):
    """The sequence that a step's request belongs to, and whether it begins or ends it."""

    sequence_id: int | str = 0
    start: bool = False
    end: bool = False

    @classmethod
    def of(cls, wishes: Wishes | None) -> "Marks":
        """What a client said."""
        if wishes is None:
            return cls()
        return cls(wishes.sequence_id, wishes.sequence_start, wishes.sequence_end)


class Value(NamedTuple):
    """A tensor that exists."""

    datatype: str
    #: With the batch dimension, where there is one.
    shape: tuple[int, ...]
    start: int
    size_bytes: int
    #: The client's region that holds it; 0 for the block.
    region: int
    held: Held | None
    #: The batch size of the request that made it; 0 from a model without batching.
    batch_size: int
    #: What the step that made it said of the sequence; None for an input of the ensemble.
    marks: Marks | None = None


@dataclass(slots=True, eq=False)
class Frame:
    """Tensors that belong together: one for the request, and one for each response of a decoupled step.

    A step reads tensors of one frame only: a configuration that would mix them is refused at load.
    """

    #: None for a tensor that its step has left out, or the client, an optional input.
    values: dict[str, Value | None] = field(default_factory=dict)
    #: How many tensors each step still waits for; a step that is not listed waits for all of its tensors.
    missing: dict[int, int] = field(default_factory=dict)


def fits(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """True where a shape agrees with configured dimensions, of which -1 is any size."""
    return len(dims) == len(shape) and all(dim in (-1, size) for dim, size in zip(dims, shape, strict=True))


def adapted(shape: tuple[int, ...], batch_size: int, dims: tuple[int, ...], *, batching: bool) -> tuple[int, ...]:
    """The shape in which a tensor goes from a model with batching to one without, or the other way round.

    Triton's rule (ReshapeTensorDims): a leading 1 is added or taken away where the configured dimensions then agree.

    Args:
        shape: the whole shape of the tensor.
        batch_size: that of the request that made it; 0 without batching.
        dims: the reader's configured dimensions, without batch dimension.
        batching: whether the reader has a batch dimension.
    """
    if batching == (batch_size != 0):
        return shape
    if batching:
        return (1, *shape) if fits(dims, shape) else shape
    return shape[1:] if batch_size == 1 and not fits(dims, shape) else shape


def inner_shape(spec: TensorSpec, shape: tuple[int, ...], *, batching: bool) -> tuple[int, ...]:
    """The shape behind a configured `reshape`, from that in front of it; -1 dimensions are mapped in order."""
    return shape if spec.reshape is None else _mapped(shape, spec.shape, spec.reshape, batching=batching)


def outer_shape(spec: TensorSpec, shape: tuple[int, ...], *, batching: bool) -> tuple[int, ...]:
    """The shape in front of a configured `reshape`, from that behind it."""
    return shape if spec.reshape is None else _mapped(shape, spec.reshape, spec.shape, batching=batching)


def _mapped(
    shape: tuple[int, ...], given: tuple[int, ...], wanted: tuple[int, ...], *, batching: bool
) -> tuple[int, ...]:
    lead, dims = (shape[:1], shape[1:]) if batching else ((), shape)
    if not fits(given, dims):
        return shape
    variable = iter([size for size, dim in zip(dims, given, strict=True) if dim == -1])
    return lead + tuple(next(variable, 1) if dim == -1 else dim for dim in wanted)
