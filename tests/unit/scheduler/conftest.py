"""Fixtures of the scheduler's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler.loop_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Short, since the path of a socket may have 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="tis-test-"))
    made = Bench(path)
    yield made
    made.close()
    shutil.rmtree(path)
