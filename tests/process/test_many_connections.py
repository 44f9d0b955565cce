"""Thousands of connections, idle, used and all at once; `python -m tools.many_connections` tells what each takes."""

from pathlib import Path

import pytest

from tools.many_connections.run import FACES, measure

#: Of the frontend's memory, after a request: half as much again as was measured.
_MOST_BYTES_EACH = 15_000


@pytest.mark.parametrize("face", sorted(FACES))
@pytest.mark.parametrize(
    "connections", [pytest.param(1000, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.long)]
)
def test_all_are_answered_and_nothing_stays_when_they_have_gone(tmp_path: Path, face: str, connections: int) -> None:
    report = measure(face, connections, tmp_path)
    print(report.text())
    assert not report.problems
    assert report.each_used_bytes < _MOST_BYTES_EACH
