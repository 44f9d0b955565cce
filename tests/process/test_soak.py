"""Tens of thousands of requests with deaths among them; `python -m tools.soak` does the same with millions."""

from pathlib import Path

import pytest

from tools.soak import Plan, soak

pytestmark = pytest.mark.slow


def test_every_request_is_accounted_for_while_workers_are_killed(tmp_path: Path) -> None:
    report = soak(Plan(requests=20_000, kills_every_s=1.2), tmp_path)
    print(report.text())
    assert not report.problems
    assert report.outcomes.right > 19_500


def test_every_request_is_accounted_for_while_anybody_is_killed(tmp_path: Path) -> None:
    plan = Plan(requests=20_000, kills_every_s=1.2, victims=("worker", "frontend", "scheduler"), seed=1)
    report = soak(plan, tmp_path)
    print(report.text())
    assert not report.problems
    assert report.outcomes.right > 18_000
