"""Behaviour in time is the reference's, but for the differences that are meant: all scenarios, played at the same time."""

from typing import Any

import pytest

from tests.conformance.scenarios import SERVERS, all_scenarios
from tests.conformance.scenarios.differences import DIFFERENCES
from tests.conformance.scenarios.playing import MANY_MODELS_S, play_until, recorded, write_models
from tests.harness.observing import wait_pool_empty
from tests.harness.server import HOST, Server

pytestmark = pytest.mark.slow

_NAMES = list(all_scenarios())


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What becomes of every scenario here."""
    found: dict[str, Any] = {}
    for kind, (_, flags) in SERVERS.items():
        place = tmp_path_factory.mktemp(kind)
        write_models(kind, place / "models", place / "notes")
        server = Server(place / "models", *flags, "--metrics-port=0", "--log-verbose=1", log=place / "log")
        wanted = {name: each for name, each in all_scenarios().items() if each.server == kind}
        try:
            server.launch().wait_started(MANY_MODELS_S)
            server.wait_ready()
            found |= play_until(recorded(), wanted, HOST, (server.grpc_port, server.metrics_port), place / "notes")
            wait_pool_empty(server)
        finally:
            server.close()
    return found


@pytest.mark.parametrize("name", _NAMES)
def test_what_happens_is_what_happens_with_the_reference(outcomes: dict[str, Any], name: str) -> None:
    if name in DIFFERENCES:
        assert outcomes[name] != recorded()[name], f"differs no longer: {DIFFERENCES[name]}"
    else:
        assert outcomes[name] == recorded()[name]


def test_what_is_recorded_is_what_is_played() -> None:
    assert list(recorded()) == _NAMES
    assert set(DIFFERENCES) <= set(_NAMES)
    assert not [name for name, outcome in recorded().items() if "stuck" in outcome]
