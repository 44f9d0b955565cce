"""Which scheduler a model version gets: the one place that knows all kinds."""

from dataclasses import dataclass

from tis.contracts.model_spec import ModelSpec
from tis.scheduler.cache.cached import Cached
from tis.scheduler.cache.caching import Caching
from tis.scheduler.ensembles.scheduler import EnsembleScheduler, Versions
from tis.scheduler.latencies import Latencies
from tis.scheduler.model import ModelScheduler
from tis.scheduler.rate_limiter import RateLimiter
from tis.scheduler.relaying import Ordered
from tis.scheduler.scheduling import Scheduling


@dataclass(frozen=True)
class Around:
    """What of the scheduler process a scheduler may need."""

    #: The process's own peer id.
    own_peer: int
    #: Finds the ready versions of models.
    versions: Versions
    #: There where instances share resources.
    limiter: RateLimiter | None = None
    #: There where the server keeps answers.
    caching: Caching | None = None


def scheduler_of(spec: ModelSpec, latencies: Latencies | None, around: Around) -> Scheduling:
    """The scheduler that a specification asks for."""
    if spec.ensemble is not None:
        return EnsembleScheduler(spec, around.own_peer, around.versions, latencies)
    scheduler: Scheduling = ModelScheduler(spec, latencies, around.limiter)
    if around.caching is not None and spec.response_cache:
        scheduler = Cached(scheduler, around.own_peer, around.caching)
    if keeps_order(spec):
        scheduler = Ordered(scheduler, around.own_peer)
    return scheduler


def keeps_order(spec: ModelSpec) -> bool:
    """True where responses must leave in the order of their requests."""
    batcher, sequences = spec.batcher, spec.sequences
    return (batcher is not None and batcher.preserve_ordering) or (
        sequences is not None and sequences.preserve_ordering
    )
