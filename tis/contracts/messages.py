"""Every message that processes of the server send each other, as one closed set of tagged MessagePack arrays.

Three conversations use it: requests (frontend to scheduler, ZeroMQ), batches and replies (scheduler, workers and
frontends, see `tis.carrier`) and control (supervisor with everybody, ZeroMQ). A packet is always a list of messages, so
that a process that has much to say says it at once. No pickle and no exception objects: kinds and texts.

Times are nanoseconds of the machine's monotonic clock, which all processes of one machine share.
"""

from typing import Any, Final

import msgspec

from tis.contracts.model_spec import ModelSignature, ModelSpec
from tis.settings import ServerSettings

#: Raised when a message changes shape; a child of another version is refused at its hello.
PROTOCOL_VERSION: Final = 1


#: The body of one request may have this many bytes, and the bodies of a batch together twice as many, so that a batch
#: always fits one packet of the carrier.
MOST_BODY_BYTES: Final = 64 << 10
MOST_BATCH_BODY_BYTES: Final = 2 * MOST_BODY_BYTES


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all messages."""


# ---- tensors in messages -------------------------------------------------------------------------------------------


class BlockRef(Message):
    """A block of the pool: where it starts and which life of it is meant."""

    offset: int
    generation: int


class TensorRef(Message):
    """A tensor inside a block. `index` counts the configured inputs; `start` is relative to the block."""

    index: int
    shape: tuple[int, ...]
    start: int
    size_bytes: int


class OutputRef(Message):
    """A tensor of a reply. The datatype is the backend's, which the config may leave open."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


# ---- requests: frontend to scheduler -------------------------------------------------------------------------------


class WorkBody(Message):
    """The part of a request that only the worker reads; the scheduler passes it on without looking."""

    client_id: str
    block: BlockRef
    inputs: tuple[TensorRef, ...]
    #: Indices of the configured outputs that are wanted; None for all.
    outputs: tuple[int, ...] | None


class Infer(Message, tag=1):
    """A validated request. `request_id` is the asker's own number; the reply goes to `asker`."""

    request_id: int
    asker: int
    model: str
    version: int
    batch_size: int
    #: Requests may share a batch only if these are equal: variable dimensions and the set of inputs supplied.
    batch_key: bytes
    arrival_ns: int
    body: msgspec.Raw


class Cancel(Message, tag=2):
    """The asker's client has gone: drop the request if it still waits."""

    request_id: int
    asker: int


class StatisticsQuery(Message, tag=3):
    """Ask for the statistics of a model (empty name: of all), answered by `StatisticsReply`."""

    request_id: int
    asker: int
    model: str
    version: int  # 0: all versions


# ---- batches and replies: scheduler, workers, frontends ------------------------------------------------------------


class BatchItem(Message):
    """One request of a batch."""

    request_id: int
    asker: int
    batch_size: int
    body: msgspec.Raw


class Batch(Message, tag=10):
    """Run these together, in this order."""

    batch_id: int
    items: tuple[BatchItem, ...]


class BatchDone(Message, tag=11):
    """A batch has run and its replies are sent. `failed` are positions in the batch whose request got an error."""

    batch_id: int
    instance: int
    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int
    failed: tuple[int, ...] = ()


class Reply(Message, tag=12):
    """A request's answer. The reader of `block` releases it in shared memory when the outputs have been read."""

    request_id: int
    block: BlockRef | None
    outputs: tuple[OutputRef, ...]


class Failure(Message, tag=13):
    """A request's error: the name of a `tis.errors.Code` and a text."""

    request_id: int
    code: str
    text: str


class Duration(Message):
    """How often something happened and how long it took in all."""

    count: int = 0
    ns: int = 0


class BatchStatistics(Message):
    """Executions of one total batch size."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(Message):
    """A model version's counters, as KServe's statistics extension names them."""

    name: str
    version: int
    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    batches: tuple[BatchStatistics, ...]


class StatisticsReply(Message, tag=14):
    """Statistics of the models asked for that exist."""

    request_id: int
    models: tuple[ModelStatistics, ...]


# ---- control: supervisor with everybody ----------------------------------------------------------------------------


class Hello(Message, tag=20):
    """A child's first word."""

    peer: int
    pid: int
    protocol_version: int = PROTOCOL_VERSION


class Boot(Message, tag=21):
    """The answer to a hello: what the child needs to begin."""

    settings: ServerSettings
    #: Ranges of the pool: offset and size in bytes.
    grants: tuple[tuple[int, int], ...] = ()
    #: The scheduler's peer id.
    scheduler: int = 0
    #: How many threads a worker's model should use.
    threads: int = 1


class Up(Message, tag=22):
    """The child does its work now."""

    peer: int


class TableEntry(Message):
    """A model version and its state."""

    spec: ModelSpec
    ready: bool


class Table(Message, tag=23):
    """The model table: every version that is served or known, under a rising epoch. Replaces the one before."""

    epoch: int
    models: tuple[TableEntry, ...]
    #: Names of models that are known but have no version to serve, with the reason.
    unavailable: tuple[tuple[str, str], ...] = ()


class ServerState(Message, tag=24):
    """Whether the server as a whole is ready, and whether it is on its way out."""

    ready: bool
    stopping: bool = False


class LoadModel(Message, tag=25):
    """To a worker: load this model version as this instance and say what the file holds."""

    spec: ModelSpec
    instance: int  # position in spec.instances


class Loaded(Message, tag=26):
    """From a worker: the model is loaded; None where the format says nothing of inputs and outputs."""

    peer: int
    signature: ModelSignature | None


class LoadFailed(Message, tag=27):
    """From a worker: the model cannot be loaded. It exits after saying so."""

    peer: int
    code: str
    text: str


class ServeModel(Message, tag=28):
    """To a worker: the completed specification; take batches from now on."""

    spec: ModelSpec


class InstanceUp(Message, tag=29):
    """To the scheduler: this worker takes batches for this model version."""

    peer: int
    model: str
    version: int


class PeerDown(Message, tag=30):
    """To everybody: this process has died or has been stopped; nothing will come from it or be read by it any more."""

    peer: int
    reason: str = ""


class SchedulerChanged(Message, tag=31):
    """To frontends and workers: a new scheduler; everything the old one held is lost."""

    peer: int


class GrantRequest(Message, tag=32):
    """Ask for another range of the pool."""

    peer: int
    size_bytes: int


class GrantReply(Message, tag=33):
    """A range of the pool, or None where there is none left."""

    grant: tuple[int, int] | None


class Heartbeat(Message, tag=34):
    """From the working loop of a child, not from a side thread: it turns, and this much of its slab is taken."""

    peer: int
    used_bytes: int = 0
    pending: int = 0


class Quiesced(Message, tag=35):
    """A process holds and awaits nothing of a dead peer any more, so the peer's slab may be granted anew."""

    peer: int
    gone: int


class Drain(Message, tag=36):
    """Accept nothing new; answer `Drained` when nothing is left."""


class Drained(Message, tag=37):
    """Nothing is in flight here any more."""

    peer: int


class Stop(Message, tag=38):
    """Exit now, in order."""


AnyMessage = (
    Infer
    | Cancel
    | StatisticsQuery
    | Batch
    | BatchDone
    | Reply
    | Failure
    | StatisticsReply
    | Hello
    | Boot
    | Up
    | Table
    | ServerState
    | LoadModel
    | Loaded
    | LoadFailed
    | ServeModel
    | InstanceUp
    | PeerDown
    | SchedulerChanged
    | GrantRequest
    | GrantReply
    | Heartbeat
    | Quiesced
    | Drain
    | Drained
    | Stop
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[AnyMessage]] = msgspec.msgpack.Decoder(list[AnyMessage])
_body_decoder: msgspec.msgpack.Decoder[WorkBody] = msgspec.msgpack.Decoder(WorkBody)


def encode(messages: list[Any]) -> bytes:
    """One packet holding these messages in order."""
    return _encoder.encode(messages)


def decode(packet: bytes) -> list[AnyMessage]:
    """The messages of a packet, checked against their types.

    `Raw` parts refer to `packet`, which therefore must not change.

    Raises:
        msgspec.DecodeError: the packet is not a list of known messages.
    """
    try:
        return _decoder.decode(packet)
    except (UnicodeDecodeError, RecursionError) as error:
        # msgspec lets these through as they are.
        raise msgspec.DecodeError(str(error)) from None


def encode_body(body: WorkBody) -> msgspec.Raw:
    """A body ready to travel inside an `Infer`."""
    return msgspec.Raw(_encoder.encode(body))


def decode_body(raw: msgspec.Raw) -> WorkBody:
    """The body of a request, in the worker. Raises as `decode` does."""
    try:
        return _body_decoder.decode(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
