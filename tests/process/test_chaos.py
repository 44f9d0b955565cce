"""Everything goes wrong at once for half a minute, and every request is accounted for; `tools/chaos` does it for longer."""

from pathlib import Path

import pytest

from tools.soak_chaos import plan
from tools.soak_chaos.plan import EXPLICIT, KILL, PAUSE, PROCESSES, TROUBLES, Plan
from tools.soak_chaos.run import chaos
from tools.soak_mixed.tally import How

pytestmark = pytest.mark.slow


def test_in_chaos_nothing_is_lost_or_wrong_and_nothing_is_left_behind(tmp_path: Path) -> None:
    # Those that are stopped until the server kills them take longer than this test has.
    deaths = (*(f"{verb} {each}" for verb in (KILL, PAUSE) for each in PROCESSES), plan.KILL_MANY, plan.SEGFAULT)
    report = chaos(
        Plan(seconds=((EXPLICIT, 25.0),), warm_s=2.0, calm_s=(0.2, 0.8), deaths=deaths, troubles=TROUBLES, seed=7),
        tmp_path,
    )
    print(report.text())
    assert not report.problems
    assert {plan.RELOAD, plan.FULL_POOL} <= {each.kind for each in report.ledger.incidents}
    assert any(each.victims for each in report.ledger.incidents)
    assert report.ledger.count(How.RIGHT) > 1_000
