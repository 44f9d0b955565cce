"""A request that fits its model, reduced to what stays the same when it is sent again with other data.

Clients send the same head with new tensors again and again; whoever asks may keep the plan of a head it has seen.
"""

from dataclasses import dataclass, field

from tis.contracts import messages as m
from tis.contracts.cache_key import cache_head
from tis.contracts.inference import InferRequest, InputTensor, Parameter
from tis.contracts.model_spec import ModelSpec
from tis.contracts.validation import batch_key, check_request


@dataclass(slots=True, frozen=True)
class Plan:
    """What the scheduler and the worker need to know of a request, but for where its data lie and who asks."""

    #: Its identifier.
    model: str
    version: int
    batch_size: int
    batch_key: bytes
    inputs: tuple[m.TensorRef, ...]
    outputs: tuple[int, ...] | None
    #: BYTES inputs whose elements are to be counted in each request's data; the worker counts those in regions.
    strings: tuple[InputTensor, ...]
    #: The client's own parameters, for the model.
    parameters: dict[str, Parameter] = field(default_factory=dict)
    #: Where outputs go that are wanted in a client's region.
    placements: tuple[m.OutputPlacement, ...] = ()
    #: What is wanted of the scheduler; None for nothing.
    wishes: m.Wishes | None = None
    #: What the tensors take in the pool, about.
    size_bytes: int = 0
    #: Where the response cache may know the answer: the part of its key that is not data.
    cache_head: bytes = b""
    #: The inputs in the order in which their data go into that key.
    cache_inputs: tuple[m.TensorRef, ...] = ()
    #: The load of the model version that the request was checked against.
    load: int = 0
    #: The model's name, as clients know it.
    name: str = ""

    @property
    def uses_regions(self) -> bool:
        """True where the plan names regions, which may be gone when the same head comes again."""
        return bool(self.placements) or any(tensor.region for tensor in self.inputs)


def make_plan(spec: ModelSpec, request: InferRequest) -> Plan:
    """Check a request against its model and reduce it.

    Raises:
        TisError: INVALID_ARG where it does not fit.
    """
    batch_size = check_request(spec, request)
    positions = spec.input_positions
    head = _cache_head(spec, request)
    inputs = tuple(
        m.TensorRef(positions[tensor.name], tensor.shape, tensor.start, tensor.size_bytes, tensor.region)
        for tensor in request.inputs
    )
    return Plan(
        spec.identifier,
        spec.version,
        batch_size,
        batch_key(spec, request.inputs),
        inputs,
        # In the model's order, in which Triton's backends answer, whatever the order of the request.
        tuple(sorted({spec.output_positions[name] for name in request.outputs})) or None,
        tuple(tensor for tensor in request.inputs if tensor.datatype == "BYTES" and not tensor.region),
        request.parameters,
        tuple(
            m.OutputPlacement(
                spec.output_positions[name], place.region, place.start, place.size_bytes, spill=place.spill
            )
            for name, place in request.placements.items()
        ),
        _wishes(request),
        sum([tensor.size_bytes for tensor in request.inputs if not tensor.region]),
        head,
        tuple(sorted(inputs, key=lambda each: spec.inputs[each.index].name)) if head else (),
        load=spec.load,
        name=spec.name,
    )


def _cache_head(spec: ModelSpec, request: InferRequest) -> bytes:
    """What is in clients' own memory is not cached: they may change it at any time, and have their answer in place."""
    if not spec.response_cache or request.placements or any(tensor.region for tensor in request.inputs):
        return b""
    positions = [spec.output_positions[name] for name in request.outputs]
    inputs = [(tensor.name, tensor.datatype, tensor.shape) for tensor in request.inputs]
    return cache_head(spec, inputs, positions or None, request.parameters)


def _wishes(request: InferRequest) -> m.Wishes | None:
    if not (
        request.sequence_id or request.priority or request.timeout_us or request.sequence_start or request.sequence_end
    ):
        return None
    return m.Wishes(
        request.priority, request.timeout_us, request.sequence_id, request.sequence_start, request.sequence_end
    )
