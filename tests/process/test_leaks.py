"""Thousands of requests to Python models that raise and whose clients go away; `python -m tools.leak` does many more."""

from pathlib import Path

import pytest

from tools.leak import leak


@pytest.mark.slow
def test_a_python_model_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    report = leak(6_000, tmp_path)
    print(report.text())
    assert not report.problems
    assert report.raised == 600
    assert report.streams >= 30
