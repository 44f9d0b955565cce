"""Which scheduler a model version gets: the one place that knows all kinds."""

from tis.contracts.model_spec import ModelSpec
from tis.scheduler.cache.cached import Cached
from tis.scheduler.cache.caching import Caching
from tis.scheduler.latencies import Latencies
from tis.scheduler.model import ModelScheduler
from tis.scheduler.rate_limiter import RateLimiter
from tis.scheduler.relaying import Ordered
from tis.scheduler.scheduling import Scheduling


def scheduler_of(
    spec: ModelSpec,
    latencies: Latencies | None,
    own_peer: int,
    limiter: RateLimiter | None = None,
    caching: Caching | None = None,
) -> Scheduling:
    """The scheduler that a specification asks for. `own_peer` is the scheduler process's id.

    There is a `limiter` where instances share resources, and `caching` where the server keeps answers.
    """
    scheduler: Scheduling = ModelScheduler(spec, latencies, limiter)
    if caching is not None and spec.response_cache:
        scheduler = Cached(scheduler, own_peer, caching)
    if keeps_order(spec):
        scheduler = Ordered(scheduler, own_peer)
    return scheduler


def keeps_order(spec: ModelSpec) -> bool:
    """True where responses must leave in the order of their requests."""
    batcher, sequences = spec.batcher, spec.sequences
    return (batcher is not None and batcher.preserve_ordering) or (
        sequences is not None and sequences.preserve_ordering
    )
