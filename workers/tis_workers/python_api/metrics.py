"""`MetricFamily` and `Metric`: what models count for themselves, read on the metrics port.

Rules and texts are those of Triton 2.51 (python_backend, metric.cc and metric_family.cc; core, metric_family.cc). A metric
lives as long as its family's object, whoever else holds the metric's own.
"""

import json
from enum import Enum
from typing import Any, ClassVar, Final

from tis.errors import TisError
from tis_workers.forks import forked_off, refuse_if_forked
from tis_workers.metrics_link import MetricsLink
from tis_workers.python_api.errors import TritonModelException, fits

_DELETED: Final = (
    "Invalid metric operation as the corresponding 'MetricFamily' has been deleted. The 'MetricFamily' object should be "
    "deleted AFTER its corresponding 'Metric' objects have been deleted."
)

_links: list[MetricsLink] = []


def connect(link: MetricsLink) -> None:
    """Say how the model that runs in this process reaches the server."""
    _links.append(link)


class MetricKind(Enum):
    """What a family counts."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2

    def __int__(self) -> int:
        return self.value


class Metric:
    """A value under some labels. Made by `MetricFamily.Metric`; all metrics of a name with equal labels are one."""

    __slots__ = ("_bounds", "_deleted", "_kind", "_link", "_number")

    _link: MetricsLink
    _number: int
    _kind: MetricKind
    _bounds: tuple[float, ...]
    _deleted: bool

    def __init__(self) -> None:
        raise TypeError("a Metric is made by the Metric() of a MetricFamily")

    def increment(self, value: float) -> None:
        """Add to it; only counters and gauges, and to a counter only what is not negative.

        Raises:
            TritonModelException: that cannot be, or the family is gone.
        """
        value = self._checked("increment", value)
        if self._kind is MetricKind.COUNTER and value < 0:
            raise self._refused(
                "increment",
                "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by non-negative values.",
            )
        self._only("increment", "Increment", MetricKind.COUNTER, MetricKind.GAUGE)
        self._link.increment(self._number, value)

    def set(self, value: float) -> None:
        """Give it a value; only gauges.

        Raises:
            TritonModelException: that cannot be, or the family is gone.
        """
        value = self._checked("set", value)
        self._only("set", "Set", MetricKind.GAUGE)
        self._link.set(self._number, value)

    def observe(self, value: float) -> None:
        """Count a value in its bucket; only histograms.

        Raises:
            TritonModelException: that cannot be, or the family is gone.
        """
        value = self._checked("observe", value)
        self._only("observe", "Observe", MetricKind.HISTOGRAM)
        self._link.observe(self._number, self._bounds, value)

    def value(self) -> float:
        """What it stands at, all instances together; only counters and gauges. Waits for the server.

        Raises:
            TritonModelException: that cannot be, or the family is gone.
        """
        self._checked("get", 0.0)
        self._only("get", "Value", MetricKind.COUNTER, MetricKind.GAUGE)
        try:
            return self._link.value(self._number)
        except TisError as error:
            raise TritonModelException(f"Failed to get metric value: {error.message}") from error

    def _checked(self, verb: str, value: float) -> float:
        refuse_if_forked()
        if not hasattr(value, "__float__"):
            raise TypeError(f"a metric takes a number; got {value!r}")
        if self._deleted:
            raise TritonModelException(f"Failed to {verb} metric value: {_DELETED}")
        return float(value)

    def _only(self, verb: str, operation: str, *kinds: MetricKind) -> None:
        if self._kind not in kinds:
            raise self._refused(verb, f"TRITONSERVER_METRIC_KIND_{self._kind.name} does not support {operation}")

    def _refused(self, verb: str, text: str) -> TritonModelException:
        return TritonModelException(f"Failed to {verb} metric value: {_told_by(self._link, text)}")


class MetricFamily:
    """A name, an explanation and a kind, under which there are metrics."""

    COUNTER: ClassVar = MetricKind.COUNTER
    GAUGE: ClassVar = MetricKind.GAUGE
    HISTOGRAM: ClassVar = MetricKind.HISTOGRAM

    __slots__ = ("_kind", "_link", "_metrics", "_number")

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        refuse_if_forked()
        if not (fits(name, str) and fits(description, str) and fits(kind, MetricKind)):
            raise TypeError(
                "MetricFamily takes a name (str), a description (str) and a kind, such as MetricFamily.COUNTER; got "
                f"{name!r}, {description!r} and {kind!r}"
            )
        link = _links[-1]
        try:
            number, text = link.new_family(name, description, kind.name.lower())
        except TisError as error:
            number, text = 0, error.message
        if text:
            raise TritonModelException(f"Error when creating MetricFamily: {_told_by(link, text)}")
        self._link = link
        self._number = number
        self._kind = kind
        self._metrics: list[Metric] = []

    def Metric(self, labels: Any = None, buckets: Any = None) -> Metric:  # noqa: N802 - the name that models call
        """A metric with these labels (a dictionary of strings); for histograms also the upper bounds of its buckets.

        Raises:
            TritonModelException: labels or buckets cannot be.
        """
        refuse_if_forked()
        given = _labels(self._link, labels)
        bounds = self._bounds(buckets)
        link = self._link
        try:
            number, bounds, text = link.new_metric(self._number, given, bounds)
        except TisError as error:
            number, text = 0, error.message
        if text:
            raise TritonModelException(f"Error when creating Metric: {_told_by(link, text)}")
        metric = Metric.__new__(Metric)
        metric._link, metric._number, metric._kind, metric._bounds = link, number, self._kind, bounds  # noqa: SLF001
        metric._deleted = False  # noqa: SLF001 - a metric has no other constructor
        self._metrics.append(metric)
        return metric

    def _bounds(self, buckets: Any) -> tuple[float, ...]:
        if buckets is None:
            if self._kind is MetricKind.HISTOGRAM:
                raise TritonModelException("Failed to create metric. Missing required buckets.")
            return ()
        if not isinstance(buckets, list):
            raise TritonModelException("Failed to create metric. Buckets must be a list.")
        if self._kind is not MetricKind.HISTOGRAM:
            raise TritonModelException("Failed to create metric. Unexpected buckets found.")
        return tuple([float(bound) for bound in buckets])

    def __del__(self) -> None:
        # Without metrics it was never made.
        metrics = getattr(self, "_metrics", None)
        if metrics is None or forked_off():
            return
        for metric in metrics:
            metric._deleted = True  # noqa: SLF001 - they go with it
        self._link.drop(self._number)


def _labels(link: MetricsLink, given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise TritonModelException("Failed to create metric. Labels must be a dictionary.")
    # Triton sends them as JSON, which makes names of what are none.
    labels: dict[str, Any] = json.loads(json.dumps(given))
    if not all(isinstance(value, str) for value in labels.values()):
        raise TritonModelException(
            f"Error when creating Metric: {_told_by(link, 'attempt to access JSON non-string as string')}"
        )
    return labels


def _told_by(link: MetricsLink, text: str) -> str:
    return f"Failed to process the request for model '{link.title}', message: {text}"
