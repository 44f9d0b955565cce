"""The machine's limits, which `tools/bench/run` prints: each can be measured."""

import pytest

from tools.bench import limits


def test_every_limit_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SECONDS", 0.02)
    monkeypatch.setattr(limits, "_COLD_BUFFERS", 4)
    found = limits.measure_limits()
    assert len(found) == 6
    assert all(limit.per_s > 0 and limit.p50_us > 0 for limit in found)
    assert [bool(limit.gb_per_s) for limit in found] == [True, True, False, False, False, False]
