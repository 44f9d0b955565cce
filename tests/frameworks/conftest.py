"""Fixtures of the contract: a server with one subject's models, for all of its tests."""

from collections.abc import Iterator

import pytest

from tests.frameworks.prepare import prepared
from tests.frameworks.serving import ALONE, PAIR, Served, write_models
from tests.frameworks.subjects import NAMES, subject
from tests.harness.fixtures import new_server
from tests.harness.server import Server, serving

__all__ = ["new_server", "served"]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.gpu] if subject(name).gpu else []) for name in NAMES]
)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each subject in turn, where its framework is installed."""
    chosen = subject(request.param)
    if chosen.lacks:
        pytest.skip(chosen.lacks)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "made").mkdir()
    made = prepared(request.param, folder / "made")
    repository = folder / "models"
    write_models(made, repository)
    flags = ["--model-control-mode=explicit", f"--load-model={PAIR}", f"--load-model={ALONE}", "--log-verbose=1"]
    with serving(Server(repository, *flags, log=folder / "log")) as server:
        yield Served(made, server)
