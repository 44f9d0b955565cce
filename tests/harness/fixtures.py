"""Fixtures of the tests against real servers. Each server is proven to leave nothing behind when it is closed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.faces import FACES, Face
from tests.harness.repository import write_shared_repository
from tests.harness.server import Server, serving

StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only talk to it."""
    folder = tmp_path_factory.mktemp("shared")
    shared = Server(write_shared_repository(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(shared):
        yield shared


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[StartServer]:
    """Makes servers that are not started yet and end with the test."""
    made: list[Server] = []

    def make(repository: Path, *flags: str, environment: dict[str, str] | None = None) -> Server:
        log = tmp_path / f"server-{len(made)}.log"
        made.append(Server(repository, "--log-verbose=1", *flags, log=log, environment=environment))
        return made[-1]

    yield make
    for each in made:
        print(f"---- log of the server ----\n{each.log()}")
        each.close()


@pytest.fixture(params=list(FACES))
def face(request: pytest.FixtureRequest, server: Server) -> Iterator[Face]:
    """Each of NVIDIA's clients in turn, connected to the shared server."""
    client = FACES[request.param](server)
    yield client
    client.close()


@pytest.fixture(params=["http", "grpc"])
def plain_face(request: pytest.FixtureRequest, server: Server) -> Iterator[Face]:
    """The two clients without asyncio, for what does not depend on the client."""
    client = FACES[request.param](server)
    yield client
    client.close()
