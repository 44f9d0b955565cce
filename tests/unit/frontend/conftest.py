"""Fixtures of the frontend's tests."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.frontend.core_bench import Bench
from tests.unit.frontend.repository_bench import RepositoryBench

NewRepositoryBench = Callable[..., RepositoryBench]


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


@pytest.fixture
def repository_bench(tmp_path: Path) -> Iterator[NewRepositoryBench]:
    """Makes a frontend with these settings, in explicit mode unless they say otherwise."""
    made: list[RepositoryBench] = []

    def make(**settings: object) -> RepositoryBench:
        made.append(RepositoryBench(tmp_path, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
