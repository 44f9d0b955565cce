"""From a batch to answers: which part of an output is whose. The rules are those of Triton's BackendOutputResponder.

What does not suffice for a request fails that one; those before it get theirs. What is left over is nobody's.
"""

from collections.abc import Sequence
from math import prod

from tis.errors import TisError, unsupported
from tis_workers.batch.parts import Answers, Array, Arrays, Part


def scatter(requests: Sequence[Part], outputs: Arrays) -> Answers:
    """Each request's rows of every output."""
    counts = [request.batch_size for request in requests]
    return together(len(requests), {name: rows(name, array, counts) for name, array in outputs.items()})


def together(count: int, parts: dict[str, "list[Array | TisError]"]) -> Answers:
    """Answers from the parts of each output; a request with a part that is an error is answered with that."""
    answers: Answers = []
    for position in range(count):
        answer: dict[str, Array] = {}
        fault: TisError | None = None
        for name, per_request in parts.items():
            part = per_request[position]
            if isinstance(part, TisError):
                fault = fault or part
            else:
                answer[name] = part
        answers.append(fault or answer)
    return answers


def rows(name: str, array: Array, counts: Sequence[int]) -> "list[Array | TisError]":
    """The first `counts[0]` rows, the next `counts[1]` and so on. UNSUPPORTED in Triton's words where they run out."""
    if not array.shape:
        array = array.reshape(1)
    available = array.shape[0]
    parts: list[Array | TisError] = []
    at = 0
    for count in counts:
        end = at + count
        parts.append(
            array[at:end] if end <= available else _too_small(name, f"batch size of at least {end}", available)
        )
        at = end
    return parts


def by_shapes(name: str, array: Array, shapes: Sequence[tuple[int, ...]]) -> "list[Array | TisError]":
    """The output's elements in order, cut into these shapes, whatever shape the model gave the whole."""
    flat = array.reshape(-1)
    parts: list[Array | TisError] = []
    at = 0
    for shape in shapes:
        end = at + prod(shape)
        if end <= flat.size:
            parts.append(flat[at:end].reshape(shape))
        else:
            parts.append(_too_small(name, f"at least {end} elements", flat.size))
        at = end
    return parts


def cut(array: Array, axis: int, length: int) -> Array:
    """A view of the first `length` along a dimension."""
    return array if array.shape[axis] == length else array[(slice(None),) * axis + (slice(length),)]


def _too_small(name: str, expected: str, got: int) -> TisError:
    return unsupported(
        f"failed to split the output tensor '{name}' in responses: expected {expected} in model output, got {got}"
    )
