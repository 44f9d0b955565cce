"""The table of what an idle server uses."""

import pytest

from tools.bench.accounts import Account, Process
from tools.bench.idle import as_json, table


@pytest.mark.parametrize(("cpu_ns", "met"), [(40_000_000, "yes"), (50_000_000, "no")])
def test_all_processes_together_are_held_against_the_aim(cpu_ns: int, met: str) -> None:
    accounts = {Process(1, "worker", "simple"): Account(cpu_ns, 20), Process(2, "supervisor"): Account(50_000_000, 80)}
    lines = table(accounts, 10).splitlines()
    assert lines[2].split() == ["worker", "of", "simple", f"{cpu_ns / 1e8:.2f}", "2.0"]
    assert lines[4].split() == ["all", f"{(cpu_ns + 50_000_000) / 1e8:.2f}", "10.0"]
    assert lines[5].endswith(f"less than 1 % of a core: {met}")


def test_json_tells_of_each_process() -> None:
    assert as_json({Process(1, "scheduler"): Account(10_000_000, 5)}, 10) == [
        {"process": "scheduler", "percent": 0.1, "wakeups_per_s": 0.5}
    ]
