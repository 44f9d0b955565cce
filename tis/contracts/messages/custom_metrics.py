"""Metrics of models' own: workers tell the supervisor, which alone knows what they add up to, and frontends ask it.

A worker numbers its families and metrics; the numbers are its own. Questions are answered by one `MetricAnswer`.
"""

from tis.contracts.messages.base import Message


class NewMetricFamily(Message, tag=90):
    """A worker's model has made a family, which may be there already; its kind is "counter", "gauge" or "histogram"."""

    peer: int
    call_id: int
    number: int
    name: str
    help: str
    kind: str


class NewMetric(Message, tag=91):
    """It has made a metric in one of its families, which others may have made, too: equal labels are the same metric."""

    peer: int
    call_id: int
    number: int
    family: int
    labels: dict[str, str]
    #: Upper bounds of a histogram's buckets.
    bounds: tuple[float, ...] = ()


class MetricChange(Message):
    """What has happened to a metric: it was set, where `base` is not None, and after that incremented; or observed."""

    number: int
    base: float | None = None
    increment: float = 0.0
    #: Observations within each of the bounds, the last beyond all of them; none for other kinds. Then their sum.
    counts: tuple[int, ...] = ()
    total: float = 0.0


class MetricChanges(Message, tag=92):
    """What has happened to a worker's metrics, and perhaps a question: the value of one of them, if `asked` is not 0."""

    peer: int
    changes: tuple[MetricChange, ...]
    call_id: int = 0
    asked: int = 0


class DropMetricFamily(Message, tag=93):
    """A worker's model does not hold a family and its metrics any more."""

    peer: int
    number: int


class MetricAnswer(Message, tag=94):
    """To a worker. A text where what it asked for cannot be; the bounds that a metric really has."""

    call_id: int
    text: str = ""
    value: float = 0.0
    bounds: tuple[float, ...] = ()


class CustomSample(Message):
    """A metric as it stands. `counts` (not cumulated), `bounds` and `value`, their sum, of a histogram."""

    labels: dict[str, str]
    value: float
    counts: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()


class CustomFamily(Message):
    """A family of models' own, with all its metrics."""

    name: str
    help: str
    kind: str
    samples: tuple[CustomSample, ...]
