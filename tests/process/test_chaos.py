"""Everything goes wrong at once for half a minute, and every request is accounted for; `tools/chaos` does it for longer."""

from pathlib import Path

import pytest

from tools.soak_chaos import plan
from tools.soak_chaos.plan import EXPLICIT, KILL, PAUSE, PROCESSES, TROUBLES, Plan
from tools.soak_chaos.run import chaos
from tools.soak_mixed.tally import How

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_in_chaos_nothing_is_lost_or_wrong_and_nothing_is_left_behind(tmp_path: Path) -> None:
    # Those that are stopped until the server kills them take longer than this test has.
    deaths = (*(f"{verb} {each}" for verb in (KILL, PAUSE) for each in PROCESSES), plan.KILL_MANY, plan.SEGFAULT)
    report = chaos(
        Plan(
            seconds=((EXPLICIT, 20.0),),
            warm_s=2.0,
            warm_bursts=1,
            calm_s=(0.2, 0.8),
            deaths=deaths,
            troubles=TROUBLES,
            seed=7,
            # After so short a while nobody is warm.
            most_growth_bytes=320 << 20,
        ),
        tmp_path,
    )
    print(report.text())
    assert not report.problems
    # How many there are in that time depends on the machine.
    assert any(each.victims for each in report.ledger.incidents)
    assert any(each.kind in TROUBLES for each in report.ledger.incidents)
    assert report.ledger.count(How.RIGHT) > 500
