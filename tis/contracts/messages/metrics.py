"""Metrics: what the scheduler tells of the models and the supervisor of the processes, to a frontend that is scraped."""

import msgspec

from tis.contracts.messages.base import Message
from tis.contracts.messages.custom_metrics import CustomFamily


class MetricsQuery(Message, tag=60):
    """To the scheduler: the counters of every model version, answered by one or several `MetricsReply`."""

    request_id: int
    asker: int


class Summary(Message):
    """Durations in microseconds: how many and how long in all, and the quantiles of the last minute (none when idle)."""

    count: int
    total_us: int
    values: tuple[float, ...]


class CacheCounts(Message):
    """What the response cache did for a model version; durations in microseconds."""

    hits: int
    misses: int
    hit_us: int
    #: Lookup and insertion.
    miss_us: int
    #: Of hits and of misses; empty unless the operator wants summaries.
    summaries: tuple[Summary, ...] = ()


class CacheMetrics(Message):
    """The response cache of the server as a whole; durations in microseconds."""

    used: float
    entries: int
    lookups: int
    hits: int
    misses: int
    evictions: int
    lookup_us: int
    insertion_us: int


class ModelMetrics(Message):
    """A model version's counters since the scheduler knows it; durations in microseconds."""

    name: str
    version: int
    success: int
    #: Failed requests by the order of `tis.contracts.metrics.FAILURE_REASONS`.
    failures: tuple[int, ...]
    inference_count: int
    execution_count: int
    #: Request, queue, compute input, compute infer, compute output.
    durations_us: tuple[int, ...]
    pending: int
    #: The tags of its config, by name.
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    #: In the order of the durations; empty unless the operator wants summaries.
    summaries: tuple[Summary, ...] = ()
    #: First responses within each bound, not cumulated, the last beyond all of them; then their sum in milliseconds.
    first_responses: tuple[int, ...] = ()
    first_responses_ms: float = 0.0
    first_response_bounds_ms: tuple[float, ...] = ()
    #: There where the model's answers are cached.
    cache: CacheCounts | None = None
    namespace: str = ""


class MetricsReply(Message, tag=61):
    """Metrics of all model versions, or a part of them: a packet of the carrier has its limits."""

    request_id: int
    models: tuple[ModelMetrics, ...]
    last: bool = True
    #: With the last part, where there is a cache that counts.
    cache: CacheMetrics | None = None


class ServerQuery(Message, tag=62):
    """To the supervisor: what it knows of the machine and of the server's processes, answered by `ServerMetrics`."""

    peer: int


class ProcessMetrics(Message):
    """Shared memory of one process."""

    kind: str
    name: str
    granted_bytes: int
    used_bytes: int


class ServerMetrics(Message, tag=63):
    """The machine, as last looked at, and the processes as they are; replaces the one before."""

    cpu_utilization: float
    cpu_memory_total_bytes: int
    cpu_memory_used_bytes: int
    pool_bytes: int
    processes: tuple[ProcessMetrics, ...]
    #: Processes started again after they died, by kind.
    restarts: dict[str, int]
    late_answers: int
    #: Identifier, version and seconds.
    load_times: tuple[tuple[str, int, float], ...]
    #: What models count for themselves.
    custom: tuple[CustomFamily, ...] = ()
