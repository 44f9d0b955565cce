"""Distributions of latencies, where the operator asks for them: quantiles of the last minute, and a histogram.

Nothing here is made or called unless `--metrics-config` enables it. Pure bookkeeping; the clock is an argument.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from tis.contracts.messages import ModelMetrics, Summary
from tis.contracts.model_spec import ModelSpec
from tis.settings import ServerSettings

#: Quantiles look back this long, in slices that are forgotten one at a time; Triton's are the same.
_WINDOW_NS: Final = 60_000_000_000
_SLICES: Final = 5
_SLICE_NS: Final = _WINDOW_NS // _SLICES
#: Values closer than this to each other count as equal, so that memory does not grow with the number of requests.
_GROWTH: Final = 1.01
_LOG_GROWTH: Final = math.log(_GROWTH)


class SlidingSummary:
    """Durations in microseconds: count and sum of all, quantiles of the last minute, exact to half a percent."""

    def __init__(self, quantiles: Sequence[float]) -> None:
        self._quantiles = quantiles
        self._count = 0
        self._total_us = 0
        #: Observations of each slice of the window by logarithm, and the slice's number since the clock began.
        self._slices: dict[int, Counter[int]] = {}

    def observe(self, value_us: int, now_ns: int, count: int = 1) -> None:
        """The same duration has been seen so many times."""
        self._count += count
        self._total_us += value_us * count
        number = now_ns // _SLICE_NS
        counts = self._slices.get(number)
        if counts is None:
            self._forget(number)
            counts = self._slices[number] = Counter()
        counts[round(math.log(value_us) / _LOG_GROWTH) if value_us > 0 else -1] += count

    def summary(self, now_ns: int) -> Summary:
        """Everything as it stands."""
        self._forget(now_ns // _SLICE_NS)
        window: Counter[int] = Counter()
        for counts in self._slices.values():
            window.update(counts)
        return Summary(self._count, self._total_us, tuple(_values(window, self._quantiles)))

    def _forget(self, newest: int) -> None:
        for number in [number for number in self._slices if number <= newest - _SLICES]:
            del self._slices[number]


class Histogram:
    """First responses by milliseconds."""

    def __init__(self, bounds_ms: Sequence[float]) -> None:
        self._bounds_ms = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._total_ms = 0.0

    def observe(self, value_ms: float) -> None:
        """A request's first response."""
        self._counts[bisect_left(self._bounds_ms, value_ms)] += 1
        self._total_ms += value_ms

    def fill(self, metrics: ModelMetrics) -> None:
        """Write what has been seen where it is asked for."""
        metrics.first_responses = tuple(self._counts)
        metrics.first_responses_ms = self._total_ms
        metrics.first_response_bounds_ms = tuple(self._bounds_ms)


class Latencies:
    """The distributions of one model version."""

    def __init__(self, quantiles: Sequence[float] | None, bounds_ms: Sequence[float] | None) -> None:
        self._summaries = [SlidingSummary(quantiles) for _ in range(5)] if quantiles is not None else []
        #: Of hits and of misses of the response cache.
        self._lookups = [SlidingSummary(quantiles) for _ in range(2)] if quantiles is not None else []
        self._histogram = Histogram(bounds_ms) if bounds_ms is not None else None

    def request(self, request_ns: int, queue_ns: int, now_ns: int) -> None:
        """A request has succeeded; it took this long from its arrival and waited that long."""
        if self._summaries:
            self._summaries[0].observe(request_ns // 1000, now_ns)
            self._summaries[1].observe(queue_ns // 1000, now_ns)
        if self._histogram is not None:
            self._histogram.observe(request_ns / 1e6)

    def computed(self, durations_ns: tuple[int, int, int], requests: int, now_ns: int) -> None:
        """A batch has run, with so many requests that succeeded: input, infer and output."""
        for summary, took_ns in zip(self._summaries[2:], durations_ns, strict=False):
            summary.observe(took_ns // 1000, now_ns, requests)

    def looked_up(self, took_ns: int, now_ns: int, *, hit: bool) -> None:
        """The response cache was asked, and in the case of a miss told the answer."""
        if self._lookups:
            self._lookups[0 if hit else 1].observe(took_ns // 1000, now_ns)

    def lookups(self, now_ns: int) -> tuple[Summary, ...]:
        """Of hits and of misses."""
        return tuple(summary.summary(now_ns) for summary in self._lookups)

    def fill(self, metrics: ModelMetrics, now_ns: int) -> None:
        """Write what has been seen where it is asked for."""
        metrics.summaries = tuple(summary.summary(now_ns) for summary in self._summaries)
        if self._histogram is not None:
            self._histogram.fill(metrics)


def _values(window: Counter[int], quantiles: Sequence[float]) -> list[float]:
    total = window.total()
    if not total:
        return []
    ordered = sorted(window.items())
    reached = list(accumulate(count for _, count in ordered))
    found: list[float] = []
    for quantile in quantiles:
        rank = min(max(math.ceil(quantile * total), 1), total)
        logarithm = ordered[bisect_left(reached, rank)][0]
        found.append(float(round(_GROWTH**logarithm)) if logarithm >= 0 else 0.0)
    return found


def latencies_of(settings: ServerSettings, spec: ModelSpec) -> Latencies | None:
    """The distributions that the operator wants of a model."""
    if not settings.allow_metrics or not (settings.metrics_summaries or settings.metrics_histograms):
        return None
    return Latencies(
        settings.metrics_quantiles if settings.metrics_summaries else None,
        spec.first_response_buckets_ms if settings.metrics_histograms else None,
    )
