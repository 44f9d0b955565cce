"""Distributions of latencies: quantiles of the last minute, cumulative counts and sums, a histogram by bounds."""

import pytest

from tis.contracts.messages import ModelMetrics
from tis.scheduler.latencies import Histogram, Latencies, SlidingSummary

SECOND_NS = 1_000_000_000


def test_quantiles_are_exact_to_half_a_percent() -> None:
    summary = SlidingSummary([0.0, 0.5, 0.9, 0.99, 1.0])
    for value in range(1, 10_001):
        summary.observe(value, 0)
    found = summary.summary(0)
    assert (found.count, found.total_us) == (10_000, 50_005_000)
    assert found.values == pytest.approx((1, 5000, 9000, 9900, 10_000), rel=0.006)


def test_quantiles_forget_what_is_older_than_a_minute_but_counts_do_not() -> None:
    summary = SlidingSummary([0.5])
    summary.observe(1_000_000, 0)
    summary.observe(10, 30 * SECOND_NS)
    assert summary.summary(59 * SECOND_NS).values == pytest.approx((10,), rel=0.01)
    assert summary.summary(70 * SECOND_NS).values == pytest.approx((10,), rel=0.01)
    idle = summary.summary(120 * SECOND_NS)
    assert (idle.count, idle.total_us, idle.values) == (2, 1_000_010, ())


def test_memory_does_not_grow_with_the_number_of_requests() -> None:
    summary = SlidingSummary([0.5])
    for second in range(600):
        for value in range(100):
            summary.observe(1000 + value, second * SECOND_NS)
    assert sum(len(counts) for counts in summary._slices.values()) < 100


def test_a_duration_below_a_microsecond_is_none() -> None:
    summary = SlidingSummary([0.5])
    summary.observe(0, 0, count=3)
    assert summary.summary(0).values == (0.0,)


def metrics() -> ModelMetrics:
    return ModelMetrics("m", 1, 0, (0, 0, 0, 0), 0, 0, (0,) * 5, 0)


def test_a_value_on_a_bound_is_within_it() -> None:
    histogram = Histogram((1.0, 5.0))
    for value in (0.5, 1.0, 1.5, 5.0, 6.0):
        histogram.observe(value)
    filled = metrics()
    histogram.fill(filled)
    assert (filled.first_responses, filled.first_responses_ms) == ((2, 2, 1), 14.0)
    assert filled.first_response_bounds_ms == (1.0, 5.0)


def test_each_request_of_a_batch_gets_the_whole_batchs_compute_times() -> None:
    latencies = Latencies((0.5,), None)
    latencies.request(7_000_000, 2_000_000, 0)
    latencies.request(9_000_000, 4_000_000, 0)
    latencies.computed((1_000, 20_000, 300_000), 2, 0)
    filled = metrics()
    latencies.fill(filled, 0)
    assert [each.count for each in filled.summaries] == [2] * 5
    assert [each.total_us for each in filled.summaries] == [16_000, 6_000, 2, 40, 600]
    assert filled.first_responses == ()
