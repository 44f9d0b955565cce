"""Fixtures of the tests in which processes fail to start, die, or stop. Each test has a server of its own."""

from pathlib import Path

import pytest

from tests.harness.fixtures import new_server
from tests.harness.models import identity, slow
from tests.harness.repository import BATCHING, one_cpu

__all__ = ["new_server"]


@pytest.fixture
def echo_and_slow(tmp_path: Path) -> Path:
    """A repository with a model that answers at once, and one that takes as long as it is asked to."""
    folder = tmp_path / "models"
    identity("FP32", [-1]).write(folder, "echo", extra=one_cpu())
    slow().write(folder, "slow", max_batch_size=4, extra=one_cpu() + BATCHING)
    return folder
