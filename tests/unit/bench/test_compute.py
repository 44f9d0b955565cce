"""A model that computes: what the server ran, what the bare loop repeats, how they compare."""

import pytest

from tools.bench.bare_loop import Bare, plan
from tools.bench.compute import Round, ratio, read_batches, table
from tools.bench.compute_model import next_width
from tools.bench.samples import Sample


def one_round(images_per_s: float, bare_s: float) -> Round:
    bare = Bare(runs=100, rows=400, seconds=bare_s, p50_ms=9.0, fastest_ms=8.0)
    return Round(Sample(images_per_s, 20.0, 30.0), {4: 100}, computed_s=1.9, seconds=2.0, bare=bare)


def test_the_bare_loop_runs_every_batch_of_the_server_in_an_order_that_stays() -> None:
    batches = {4: 30, 8: 20, 1: 2}
    assert sorted(plan(batches)) == [1] * 2 + [4] * 30 + [8] * 20
    assert plan(batches) == plan(dict(reversed(batches.items())))
    assert plan(batches) != sorted(plan(batches))


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    rounds = [one_round(190, 2.0), one_round(100, 2.0), one_round(196, 2.0)]
    assert [each.ratio for each in rounds] == [0.95, 0.5, 0.98]
    assert ratio(rounds) == 0.95


@pytest.mark.parametrize(("images_per_s", "met"), [(196, "yes"), (190, "no")])
def test_the_table_tells_whether_the_aim_is_met(images_per_s: float, met: str) -> None:
    text = table([one_round(images_per_s, 2.0)])
    assert text.endswith(f"aim: at least 0.97: {met}")
    assert "95.0%" in text
    assert "4.00" in text


def test_batches_and_their_time_are_read_from_the_statistics() -> None:
    entries = [
        {"batch_size": "4", "compute_infer": {"count": "10", "ns": "2000000000"}},
        {"batch_size": "8", "compute_infer": {"count": "3", "ns": "500000000"}},
    ]
    assert read_batches({"model_stats": [{"batch_stats": entries}]}) == ({4: 10, 8: 3}, 2.5)
    assert read_batches({"model_stats": [{}]}) == ({}, 0.0)


@pytest.mark.parametrize(
    ("width", "took_ms", "wider"), [(48, 1.0, 96), (96, 16.0, 48), (48, 2.9, 56), (48, 3.9, 56), (8, 9.0, 8)]
)
def test_a_network_that_took_too_short_or_too_long_becomes_wider_or_narrower(
    width: int, took_ms: float, wider: int
) -> None:
    assert next_width(width, took_ms) == wider
