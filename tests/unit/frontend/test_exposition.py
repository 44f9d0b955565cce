"""Prometheus' text format as Triton writes it."""

import pytest

from tests.harness.scrape import parse
from tis.contracts import messages as m
from tis.settings import ServerSettings
from tis_frontend.metrics.exposition import Family, histogram_samples, labels, number, summary_samples
from tis_frontend.metrics.models import counter_lines, distribution_lines

TAGGED = m.ModelMetrics(
    "b", 2, 5, (1, 2, 3, 4), 7, 6, (10, 20, 30, 40, 50), 8, tags={"team": 'a "b" \\ c\nd', "Area": "x"}
)
PLAIN = m.ModelMetrics("a", 1, 0, (0, 0, 0, 0), 0, 0, (0,) * 5, 0)


def test_labels_are_alphabetical_and_escaped() -> None:
    assert labels({"version": "1", "_b": 'say "x"', "model": "m\\n\n"}) == (
        r'{_b="say \"x\"",model="m\\n\n",version="1"}'
    )
    assert labels({}) == ""
    assert labels({"z": "1", "a": "2"}, ("le", "5")) == '{a="2",z="1",le="5"}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (25276514304, "25276514304"),
        (0.5, "0.5"),
        (3.0, "3"),
        (0.8208955223880597, "0.8208955223880597"),
        (float("nan"), "Nan"),
        (float("inf"), "+Inf"),
    ],
)
def test_numbers_look_as_triton_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_family_without_samples_is_not_there() -> None:
    assert list(Family("x", "gauge", "text").lines([])) == []


def test_a_summary_ends_in_its_quantiles() -> None:
    samples = summary_samples({"model": "m"}, 3, 60, {"0.5": 20, "0.9": float("nan")})
    assert list(Family("s", "summary", "text").lines(samples))[2:] == [
        's_count{model="m"} 3',
        's_sum{model="m"} 60',
        's{model="m",quantile="0.5"} 20',
        's{model="m",quantile="0.9"} Nan',
    ]


def test_a_histogram_is_cumulated() -> None:
    samples = histogram_samples({"model": "m"}, (100.0, 0.5 + 500), (2, 0, 1), 7.5)
    assert list(Family("h", "histogram", "text").lines(samples))[2:] == [
        'h_count{model="m"} 3',
        'h_sum{model="m"} 7.5',
        'h_bucket{model="m",le="100"} 2',
        'h_bucket{model="m",le="500.5"} 2',
        'h_bucket{model="m",le="+Inf"} 3',
    ]


def test_a_models_counters_bear_its_tags_and_say_why_requests_failed() -> None:
    lines = list(counter_lines([PLAIN, TAGGED], [("b", 2, 1.5)], ServerSettings()))
    seen = parse("\n".join(lines))
    failures = {
        reason: seen.value("nv_inference_request_failure", model="b", reason=reason)
        for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
    }
    assert failures == {"REJECTED": 1, "CANCELED": 2, "BACKEND": 3, "OTHER": 4}
    assert r'nv_inference_count{_Area="x",_team="a \"b\" \\ c\nd",model="b",version="2"} 7' in lines
    assert seen.value("nv_inference_compute_output_duration_us", model="b") == 50
    assert seen.value("nv_inference_pending_request_count", model="b") == 8
    assert [line for line in lines if line.startswith("nv_model_load")] == [
        r'nv_model_load_duration_secs{_Area="x",_team="a \"b\" \\ c\nd",model="b",version="2"} 1.5'
    ]


def test_an_idle_model_has_quantiles_that_are_no_numbers() -> None:
    idle = m.ModelMetrics("a", 1, 0, (0,) * 4, 0, 0, (0,) * 5, 0, summaries=(m.Summary(0, 0, ()),) * 5)
    lines = list(distribution_lines([idle], ServerSettings(metrics_config=(("summary_quantiles", "0.5:0.1"),))))
    assert 'nv_inference_queue_summary_us{model="a",version="1",quantile="0.5"} Nan' in lines
    assert not any("histogram" in line for line in lines)
