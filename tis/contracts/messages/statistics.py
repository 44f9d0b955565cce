"""Statistics as the scheduler reports them, in the terms of KServe's statistics extension."""

import msgspec

from tis.contracts.messages.base import Message


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
    #: Answers from the response cache, and requests of which it knew none.
    cache_hit: Duration = msgspec.field(default_factory=Duration)
    cache_miss: Duration = msgspec.field(default_factory=Duration)
    namespace: str = ""


class StatisticsReply(Message, tag=14):
    """Statistics of the models asked for that exist, or a part of them: a packet of the carrier has its limits.

    A model with many batch sizes may be spread over parts, each with some of its `batches` and the same counters.
    """

    request_id: int
    models: tuple[ModelStatistics, ...]
    last: bool = True
