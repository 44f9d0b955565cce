"""Every message that processes of the server send each other, as one closed set of tagged MessagePack arrays.

Three conversations use it: requests (frontend to scheduler, ZeroMQ), batches and replies (scheduler, workers and
frontends, see `tis.carrier`) and control (supervisor with everybody, ZeroMQ). A packet is always a list of messages, so
that a process that has much to say says it at once. No pickle and no exception objects: kinds and texts.

Times are nanoseconds of the machine's monotonic clock, which all processes of one machine share.
"""

from typing import Any

import msgspec

from tis.contracts.messages.base import (
    INLINE_BYTES,
    MOST_BATCH_BODY_BYTES,
    MOST_BODY_BYTES,
    MOST_REQUESTS,
    PROTOCOL_VERSION,
    BlockRef,
    Message,
    inline_bytes,
)
from tis.contracts.messages.batches import (
    FILLER,
    Batch,
    BatchDone,
    BatchItem,
    Expired,
    Failure,
    Finished,
    OutputRef,
    Reply,
)
from tis.contracts.messages.calls import (
    CallReply,
    ChangeLog,
    ChangeTrace,
    GrantRegion,
    LogChanged,
    Region,
    Regions,
    RegionsSeen,
    RegisterRegion,
    RepositoryLoad,
    RepositoryUnload,
    TraceChanged,
    UnregisterRegion,
)
from tis.contracts.messages.control import (
    Boot,
    Drain,
    Drained,
    FollowTable,
    GrantReply,
    GrantRequest,
    GrantReturn,
    Heartbeat,
    Hello,
    IndexEntry,
    InstanceRetired,
    InstanceUp,
    Loaded,
    LoadFailed,
    LoadModel,
    PeerDown,
    PeerForgotten,
    Prepare,
    Quiesced,
    Retire,
    Retired,
    RetireInstance,
    SchedulerChanged,
    ServeModel,
    ServerState,
    Stop,
    Table,
    TableEntry,
    TableSeen,
    Up,
    Warmup,
)
from tis.contracts.messages.custom_metrics import (
    CustomFamily,
    CustomSample,
    DropMetricFamily,
    MetricAnswer,
    MetricChange,
    MetricChanges,
    NewMetric,
    NewMetricFamily,
)
from tis.contracts.messages.instances import ChangeInstances, InstancesQuery, InstanceState, InstanceStates
from tis.contracts.messages.metrics import (
    CacheCounts,
    CacheMetrics,
    MetricsQuery,
    MetricsReply,
    ModelMetrics,
    ProcessMetrics,
    ServerMetrics,
    ServerQuery,
    Summary,
)
from tis.contracts.messages.requests import (
    Cancel,
    Infer,
    OutputPlacement,
    StatisticsQuery,
    TensorRef,
    Wishes,
    WorkBody,
)
from tis.contracts.messages.statistics import (
    BatchStatistics,
    Duration,
    ModelStatistics,
    StatisticsReply,
)
from tis.contracts.messages.traces import ComputeTimes, Trace, TracedTensor, Traces

__all__ = [
    "FILLER",
    "INLINE_BYTES",
    "MOST_BATCH_BODY_BYTES",
    "MOST_BODY_BYTES",
    "MOST_REQUESTS",
    "PROTOCOL_VERSION",
    "AnyMessage",
    "Batch",
    "BatchDone",
    "BatchItem",
    "BatchStatistics",
    "BlockRef",
    "Boot",
    "CacheCounts",
    "CacheMetrics",
    "CallReply",
    "Cancel",
    "ChangeInstances",
    "ChangeLog",
    "ChangeTrace",
    "ComputeTimes",
    "CustomFamily",
    "CustomSample",
    "Drain",
    "Drained",
    "DropMetricFamily",
    "Duration",
    "Expired",
    "Failure",
    "Finished",
    "FollowTable",
    "GrantRegion",
    "GrantReply",
    "GrantRequest",
    "GrantReturn",
    "Heartbeat",
    "Hello",
    "IndexEntry",
    "Infer",
    "InstanceRetired",
    "InstanceState",
    "InstanceStates",
    "InstanceUp",
    "InstancesQuery",
    "LoadFailed",
    "LoadModel",
    "Loaded",
    "LogChanged",
    "Message",
    "MetricAnswer",
    "MetricChange",
    "MetricChanges",
    "MetricsQuery",
    "MetricsReply",
    "ModelMetrics",
    "ModelStatistics",
    "NewMetric",
    "NewMetricFamily",
    "OutputPlacement",
    "OutputRef",
    "PeerDown",
    "PeerForgotten",
    "Prepare",
    "ProcessMetrics",
    "Quiesced",
    "Region",
    "Regions",
    "RegionsSeen",
    "RegisterRegion",
    "Reply",
    "RepositoryLoad",
    "RepositoryUnload",
    "Retire",
    "RetireInstance",
    "Retired",
    "SchedulerChanged",
    "ServeModel",
    "ServerMetrics",
    "ServerQuery",
    "ServerState",
    "StatisticsQuery",
    "StatisticsReply",
    "Stop",
    "Summary",
    "Table",
    "TableEntry",
    "TableSeen",
    "TensorRef",
    "Trace",
    "TraceChanged",
    "TracedTensor",
    "Traces",
    "UnregisterRegion",
    "Up",
    "Warmup",
    "Wishes",
    "WorkBody",
    "decode",
    "decode_body",
    "encode",
    "encode_body",
    "inline_bytes",
]

AnyMessage = (
    Infer
    | Cancel
    | StatisticsQuery
    | Batch
    | BatchDone
    | Reply
    | Failure
    | Expired
    | Finished
    | StatisticsReply
    | Hello
    | Boot
    | Up
    | Table
    | TableSeen
    | FollowTable
    | Prepare
    | Retire
    | Retired
    | ServerState
    | LoadModel
    | Loaded
    | LoadFailed
    | ServeModel
    | InstanceUp
    | RetireInstance
    | InstanceRetired
    | PeerDown
    | PeerForgotten
    | SchedulerChanged
    | GrantRequest
    | GrantReply
    | GrantReturn
    | Heartbeat
    | Quiesced
    | Drain
    | Drained
    | Stop
    | CallReply
    | RegisterRegion
    | UnregisterRegion
    | GrantRegion
    | RepositoryLoad
    | RepositoryUnload
    | InstancesQuery
    | InstanceStates
    | ChangeInstances
    | Regions
    | RegionsSeen
    | ChangeLog
    | LogChanged
    | ChangeTrace
    | TraceChanged
    | MetricsQuery
    | MetricsReply
    | ServerQuery
    | ServerMetrics
    | ComputeTimes
    | Traces
    | NewMetricFamily
    | NewMetric
    | MetricChanges
    | DropMetricFamily
    | MetricAnswer
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
