"""Everything at once for some seconds, with deaths and cancellations; `python -m tools.soak_mixed` does it for hours."""

from pathlib import Path

import pytest

from tools.soak_mixed.plan import Plan
from tools.soak_mixed.run import soak

pytestmark = pytest.mark.slow


def test_the_counters_balance_and_nothing_is_left_after_everything_at_once(tmp_path: Path) -> None:
    report = soak(Plan(requests=4_000, clients=2, kills_every_s=0.8, seed=1), tmp_path)
    print(report.text())
    assert not report.problems
    assert report.kills
    assert sum(tally.right for tally in report.outcomes.by_model.values()) > 3_000
