"""Metrics that models make for themselves: what all workers have told adds up here, to one value for equal labels.

The rules for names and the texts are those of Triton 2.51 (core, metric_family.cc, and prometheus-cpp). A metric is there as
long as some worker's family holds it, and a family as long as some worker has it: so it outlives a worker that is replaced by
another of the same model before it goes. In Triton, a family stays until the server ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from tis.contracts import messages as m
from tis.contracts.metrics import BUILT_IN_KINDS

_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_BUCKET_LABEL: Final = "le"

#: A worker's own number, made unique by its peer id.
_Key = tuple[int, int]
_Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Metric:
    """A value, or a histogram whose sum is the value."""

    labels: dict[str, str]
    bounds: tuple[float, ...]
    counts: list[int]
    value: float = 0.0
    holders: set[_Key] = field(default_factory=set)

    def change(self, change: m.MetricChange) -> None:
        if change.base is not None:
            self.value = change.base
        self.value += change.increment + change.total
        if len(change.counts) == len(self.counts):
            self.counts = [own + more for own, more in zip(self.counts, change.counts, strict=True)]


@dataclass(slots=True)
class _Family:
    name: str
    help: str
    kind: str
    metrics: dict[_Labels, _Metric] = field(default_factory=dict)
    holders: set[_Key] = field(default_factory=set)


class CustomMetrics:
    """All families, and who holds what of them."""

    def __init__(self, send: Callable[[int, m.MetricAnswer], None]) -> None:
        self._send = send
        self._families: dict[str, _Family] = {}
        self._held_families: dict[_Key, _Family] = {}
        #: Metrics by the number that their worker gave them, and the number of the family they were made in.
        self._held: dict[_Key, tuple[_Metric, _Family, int]] = {}

    def handlers(self) -> dict[type[m.Message], Callable[[Any], None]]:
        """Who takes what workers say."""
        return {
            m.NewMetricFamily: self.new_family,
            m.NewMetric: self.new_metric,
            m.MetricChanges: self.changed,
            m.DropMetricFamily: lambda drop: self.drop(drop.peer, drop.number),
        }

    def new_family(self, new: m.NewMetricFamily) -> None:
        """A worker has made a family."""
        family = self._families.get(new.name)
        known = family.kind if family is not None else BUILT_IN_KINDS.get(new.name, new.kind)
        text = ""
        if not _NAME.fullmatch(new.name):
            text = "Invalid metric name"
        elif known != new.kind:
            text = "Family name already exists with different type"
        else:
            if family is None:
                family = self._families[new.name] = _Family(new.name, new.help, new.kind)
            key = (new.peer, new.number)
            family.holders.add(key)
            self._held_families[key] = family
        self._send(new.peer, m.MetricAnswer(new.call_id, text))

    def new_metric(self, new: m.NewMetric) -> None:
        """A worker has made a metric."""
        family = self._held_families.get((new.peer, new.family))
        text, bounds = "", new.bounds
        if family is None:
            text = "the metric's family is not known"
        elif not all(_is_label(name, family.kind) for name in new.labels):
            text = "Invalid label name"
        elif any(high <= low for low, high in pairwise(bounds)):
            text = "Bucket Boundaries must be strictly sorted"
        else:
            labels = tuple(sorted(new.labels.items()))
            metric = family.metrics.get(labels)
            if metric is None:
                counts = [0] * (len(bounds) + 1) if family.kind == "histogram" else []
                metric = family.metrics[labels] = _Metric(new.labels, bounds, counts)
            bounds = metric.bounds
            key = (new.peer, new.number)
            metric.holders.add(key)
            self._held[key] = (metric, family, new.family)
        self._send(new.peer, m.MetricAnswer(new.call_id, text, bounds=bounds))

    def changed(self, changes: m.MetricChanges) -> None:
        """A worker tells what has happened to its metrics, and may ask for the value of one."""
        for change in changes.changes:
            held = self._held.get((changes.peer, change.number))
            if held is not None:
                held[0].change(change)
        if changes.asked:
            held = self._held.get((changes.peer, changes.asked))
            self._send(changes.peer, m.MetricAnswer(changes.call_id, value=held[0].value if held is not None else 0.0))

    def drop(self, peer: int, number: int) -> None:
        """A worker's family is no more, and with it the metrics that were made in it."""
        family = self._held_families.pop((peer, number), None)
        if family is None:
            return
        family.holders.discard((peer, number))
        for key, (metric, _, made_in) in list(self._held.items()):
            if key[0] == peer and made_in == number:
                del self._held[key]
                metric.holders.discard(key)
                if not metric.holders:
                    del family.metrics[tuple(sorted(metric.labels.items()))]
        if not family.holders:
            del self._families[family.name]

    def ended(self, peer: int) -> None:
        """A process has ended, and holds nothing any more."""
        for key in [key for key in self._held_families if key[0] == peer]:
            self.drop(*key)

    def families(self) -> tuple[m.CustomFamily, ...]:
        """Everything as it stands."""
        return tuple(
            m.CustomFamily(
                family.name,
                family.help,
                family.kind,
                tuple(
                    m.CustomSample(metric.labels, metric.value, tuple(metric.counts), metric.bounds)
                    for metric in family.metrics.values()
                ),
            )
            for family in self._families.values()
        )


def _is_label(name: str, kind: str) -> bool:
    return _LABEL.fullmatch(name) is not None and not (kind == "histogram" and name == _BUCKET_LABEL)
