"""Thousands of broken requests to a server that has to live through them; `python -m tools.fuzz` sends millions."""

from pathlib import Path

import pytest

from tools.fuzz.run import fuzz

pytestmark = pytest.mark.slow


def test_no_broken_request_harms_the_server_or_anybody_else(tmp_path: Path) -> None:
    report = fuzz(20_000, 1, tmp_path)
    print(report.text())
    assert not report.problems
    assert report.seen.broken >= 20_000
