"""What models count for themselves adds up over all workers, under the names and rules of Triton."""

from typing import Final

import pytest

from tis.contracts import messages as m
from tis.supervisor.custom_metrics import CustomMetrics

A: Final = 11
B: Final = 12


class Workers:
    """Workers that speak to the supervisor."""

    def __init__(self) -> None:
        self.answers: list[m.MetricAnswer] = []
        self.metrics = CustomMetrics(lambda _peer, answer: self.answers.append(answer))

    def family(self, peer: int, number: int, name: str = "mine", kind: str = "counter") -> str:
        self.metrics.new_family(m.NewMetricFamily(peer, 1, number, name, "help", kind))
        return self.answers[-1].text

    def metric(
        self, peer: int, number: int, family: int, labels: dict[str, str] | None = None, bounds: tuple[float, ...] = ()
    ) -> str:
        self.metrics.new_metric(m.NewMetric(peer, 1, number, family, labels or {}, bounds))
        return self.answers[-1].text

    def add(self, peer: int, number: int, value: float, base: float | None = None) -> None:
        self.metrics.changed(m.MetricChanges(peer, (m.MetricChange(number, base, value),)))

    def value(self, peer: int, number: int) -> float:
        self.metrics.changed(m.MetricChanges(peer, (), 7, number))
        assert self.answers[-1].call_id == 7
        return self.answers[-1].value

    def shown(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        return {
            family.name: {tuple(sorted(each.labels.items())): each.value for each in family.samples}
            for family in self.metrics.families()
        }


@pytest.fixture
def workers() -> Workers:
    return Workers()


def test_equal_labels_are_one_metric_in_all_workers(workers: Workers) -> None:
    for peer in (A, B):
        assert workers.family(peer, 1) == ""
        assert workers.metric(peer, 2, 1, {"a": "x", "b": "y"}) == ""
    workers.add(A, 2, 2.5)
    workers.add(B, 2, 1.0)
    assert workers.value(A, 2) == workers.value(B, 2) == 3.5
    assert workers.shown() == {"mine": {(("a", "x"), ("b", "y")): 3.5}}


def test_a_gauge_is_what_it_was_set_to_last_and_what_was_added_since(workers: Workers) -> None:
    for peer in (A, B):
        workers.family(peer, 1, kind="gauge")
        workers.metric(peer, 2, 1)
    workers.add(A, 2, 1.0, base=10.0)
    workers.add(B, 2, -2.0)
    assert workers.value(A, 2) == 9.0
    workers.add(B, 2, 0.0, base=4.0)
    assert workers.value(A, 2) == 4.0


def test_a_metric_is_there_as_long_as_some_family_holds_it(workers: Workers) -> None:
    for peer in (A, B):
        workers.family(peer, 1)
        workers.metric(peer, 2, 1)
        workers.add(peer, 2, 1.0)
    workers.metrics.drop(A, 1)
    assert workers.shown() == {"mine": {(): 2.0}}
    workers.add(A, 2, 5.0)
    assert workers.value(B, 2) == 2.0
    workers.metrics.drop(B, 1)
    assert workers.shown() == {}


def test_a_worker_that_ends_holds_nothing(workers: Workers) -> None:
    workers.family(A, 1)
    workers.metric(A, 2, 1)
    workers.family(B, 1)
    workers.metrics.ended(A)
    assert workers.shown() == {"mine": {}}
    workers.metrics.ended(B)
    assert workers.shown() == {}


def test_two_families_of_one_worker_hold_their_metrics_apart(workers: Workers) -> None:
    workers.family(A, 1)
    workers.family(A, 2)
    workers.metric(A, 3, 1, {"x": "1"})
    workers.metric(A, 4, 2, {"x": "2"})
    workers.metrics.drop(A, 1)
    assert workers.shown() == {"mine": {(("x", "2"),): 0.0}}


def test_the_bounds_of_a_histogram_are_those_of_its_first_metric(workers: Workers) -> None:
    workers.family(A, 1, kind="histogram")
    workers.metric(A, 2, 1, bounds=(0.5, 1.0))
    assert workers.metric(A, 3, 1, bounds=(7.0,)) == ""
    assert workers.answers[-1].bounds == (0.5, 1.0)
    workers.metrics.changed(m.MetricChanges(A, (m.MetricChange(3, counts=(1, 0, 2), total=9.0),)))
    [family] = workers.metrics.families()
    assert family.samples == (m.CustomSample({}, 9.0, (1, 0, 2), (0.5, 1.0)),)


@pytest.mark.parametrize("name", ["", "bad name", "mine-dash", "9x", "é"])
def test_a_name_has_to_be_one_of_prometheus(workers: Workers, name: str) -> None:
    assert workers.family(A, 1, name) == "Invalid metric name"
    assert workers.shown() == {}


@pytest.mark.parametrize("label", ["", "__x", "a-b", "a:b", "9", "é"])
def test_a_label_has_to_be_one_of_prometheus(workers: Workers, label: str) -> None:
    workers.family(A, 1)
    assert workers.metric(A, 2, 1, {label: "x"}) == "Invalid label name"


def test_the_label_of_buckets_is_not_for_histograms(workers: Workers) -> None:
    workers.family(A, 1, "one", "histogram")
    workers.family(A, 2, "two", "gauge")
    assert workers.metric(A, 3, 1, {"le": "x"}, (1.0,)) == "Invalid label name"
    assert workers.metric(A, 4, 2, {"le": "x"}) == ""


def test_bounds_rise(workers: Workers) -> None:
    workers.family(A, 1, kind="histogram")
    assert workers.metric(A, 2, 1, bounds=(1.0, 1.0)) == "Bucket Boundaries must be strictly sorted"


@pytest.mark.parametrize("taken", ["nv_inference_pending_request_count", "tis_pool_bytes", "mine"])
def test_a_name_keeps_its_kind(workers: Workers, taken: str) -> None:
    workers.family(A, 1, "mine", "gauge")
    assert workers.family(B, 1, taken, "counter") == "Family name already exists with different type"
    assert workers.family(B, 2, taken, "gauge") == ""


def test_what_is_not_known_changes_nothing(workers: Workers) -> None:
    workers.add(A, 99, 1.0)
    workers.metrics.drop(A, 99)
    assert workers.metric(A, 2, 99) == "the metric's family is not known"
    assert workers.value(A, 99) == 0.0
    assert workers.shown() == {}
