"""The families that tell of the response cache, with Triton's names and explanations."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from tis.contracts import messages as m
from tis.settings import ServerSettings
from tis_frontend.metrics.exposition import Family, labels, number
from tis_frontend.metrics.models import model_labels, summary_of

_Model = Callable[[m.CacheCounts], float]
_Server = Callable[[m.CacheMetrics], float]

#: Of models whose answers are cached.
_OF_MODELS: Final[tuple[tuple[Family, _Model], ...]] = (
    (
        Family("nv_cache_num_hits_per_model", "counter", "Number of cache hits per model"),
        lambda counts: counts.hits,
    ),
    (
        Family("nv_cache_hit_duration_per_model", "counter", "Total cache hit duration per model, in microseconds"),
        lambda counts: counts.hit_us,
    ),
    (
        Family("nv_cache_num_misses_per_model", "counter", "Number of cache misses per model"),
        lambda counts: counts.misses,
    ),
    (
        Family(
            "nv_cache_miss_duration_per_model",
            "counter",
            "Total cache miss (insert+lookup) duration per model, in microseconds",
        ),
        lambda counts: counts.miss_us,
    ),
)
#: Of the local cache.
_OF_SERVER: Final[tuple[tuple[Family, _Server], ...]] = (
    (Family("nv_cache_util", "gauge", "Cache utilization [0.0 - 1.0]"), lambda cache: cache.used),
    (
        Family("nv_cache_num_entries", "gauge", "Number of responses stored in response cache"),
        lambda cache: cache.entries,
    ),
    (Family("nv_cache_num_hits", "gauge", "Number of cache hits in response cache"), lambda cache: cache.hits),
    (Family("nv_cache_num_misses", "gauge", "Number of cache misses in response cache"), lambda cache: cache.misses),
    (Family("nv_cache_num_lookups", "gauge", "Number of cache lookups in response cache"), lambda cache: cache.lookups),
    (
        Family("nv_cache_num_evictions", "gauge", "Number of cache evictions in response cache"),
        lambda cache: cache.evictions,
    ),
    (
        Family("nv_cache_lookup_duration", "gauge", "Total cache lookup duration (hit and miss), in microseconds"),
        lambda cache: cache.lookup_us,
    ),
    (
        Family("nv_cache_insertion_duration", "gauge", "Total cache insertion duration, in microseconds"),
        lambda cache: cache.insertion_us,
    ),
)
#: In the order of `CacheCounts.summaries`.
_SUMMARIES: Final = tuple(
    Family(
        f"nv_cache_{kind}_summary_per_model",
        "summary",
        f"Summary of cache {kind} counts/durations per model, in microseconds.",
    )
    for kind in ("hit", "miss")
)


def cache_lines(models: Sequence[m.ModelMetrics], cache: m.CacheMetrics | None) -> Iterator[str]:
    """Counters of models and gauges of the cache; nothing of what there is not."""
    cached = [(labels(model_labels(model)), model.cache) for model in models if model.cache is not None]
    for family, of_model in _OF_MODELS:
        yield from family.lines([("", written, of_model(counts)) for written, counts in cached])
    if cache is not None:
        for gauge, of_server in _OF_SERVER:
            yield from gauge.lines([("", "", of_server(cache))])


def cache_summary_lines(models: Sequence[m.ModelMetrics], settings: ServerSettings) -> Iterator[str]:
    """Summaries, where the operator asked for them."""
    quantiles = [number(quantile) for quantile in settings.metrics_quantiles]
    for position, family in enumerate(_SUMMARIES):
        yield from family.lines(
            chain.from_iterable(
                summary_of(model, model.cache.summaries[position], quantiles)
                for model in models
                if model.cache is not None and model.cache.summaries
            )
        )
