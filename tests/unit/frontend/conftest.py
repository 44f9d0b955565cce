"""Fixtures of the frontend's tests."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.frontend.core_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A core, stepped by hand."""
    # Short, since the path of a socket may have 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="tis-test-"))
    loop = asyncio.new_event_loop()
    made = Bench(path, loop)
    made.connect()
    yield made
    made.close()
    loop.close()
    shutil.rmtree(path)
