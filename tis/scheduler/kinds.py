"""Which scheduler a model version gets: the one place that knows all kinds."""

from tis.contracts.model_spec import ModelSpec
from tis.scheduler.ensembles.scheduler import EnsembleScheduler, Versions
from tis.scheduler.latencies import Latencies
from tis.scheduler.model import ModelScheduler
from tis.scheduler.relaying import Ordered
from tis.scheduler.scheduling import Scheduling


def scheduler_of(spec: ModelSpec, latencies: Latencies | None, own_peer: int, versions: Versions) -> Scheduling:
    """The scheduler that a specification asks for. `own_peer` is the scheduler process's id; `versions` finds models."""
    if spec.ensemble is not None:
        return EnsembleScheduler(spec, own_peer, versions, latencies)
    scheduler: Scheduling = ModelScheduler(spec, latencies)
    if keeps_order(spec):
        scheduler = Ordered(scheduler, own_peer)
    return scheduler


def keeps_order(spec: ModelSpec) -> bool:
    """True where responses must leave in the order of their requests."""
    batcher, sequences = spec.batcher, spec.sequences
    return (batcher is not None and batcher.preserve_ordering) or (
        sequences is not None and sequences.preserve_ordering
    )
