"""Every case gets the reference's answers, but for the differences that are meant and what is not built yet."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.asking import Asker
from tests.conformance.case import case, masked, post
from tests.conformance.cases import all_cases
from tests.conformance.command import DIED, ask_until
from tests.conformance.differences import DIFFERENCES
from tests.conformance.pending import PENDING
from tests.conformance.recorded import recorded
from tests.conformance.repository import write_repository
from tests.conformance.servers import SERVERS
from tests.harness.observing import wait_pool_empty
from tests.harness.server import HOST, Server

#: The log tells which process is which at the start, and what each uses of the pool at the end; between, it is a case's.
_QUIET, _VERBOSE = (case("level", post("/v2/logging", {"log_verbose_level": level})) for level in (0, 1))
_KEYS = [(noun, name) for noun, cases in all_cases().items() for name in cases]


@pytest.fixture(scope="module")
def asker_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Asker]]:
    """A client of the server of a kind; servers are started when first asked for."""
    servers: dict[str, Server] = {}
    askers: dict[str, Asker] = {}

    def asker_of(kind: str) -> Asker:
        if kind not in servers:
            folder = tmp_path_factory.mktemp(kind)
            repository = write_repository(folder / "models", SERVERS[kind].models, reference=False)
            servers[kind] = Server(repository, *SERVERS[kind].flags, "--log-verbose=1", log=folder / "log")
            servers[kind].start()
            askers[kind] = Asker(HOST, servers[kind].http_port, servers[kind].grpc_port)
            askers[kind].ask(_QUIET)
        if kind not in askers:
            raise AssertionError(f"the server '{kind}' did not start:\n{servers[kind].log()}")
        return askers[kind]

    try:
        yield asker_of
        for kind, asker in askers.items():
            asker.ask(_VERBOSE)
            asker.close()
            wait_pool_empty(servers[kind])
    finally:
        for server in servers.values():
            server.close()


@pytest.mark.parametrize(("noun", "name"), _KEYS, ids=[f"{noun}/{name}" for noun, name in _KEYS])
def test_the_answers_are_those_of_the_reference(
    asker_of: Callable[[str], Asker], noun: str, name: str, request: pytest.FixtureRequest
) -> None:
    key = f"{noun}/{name}"
    if key in PENDING:
        request.applymarker(pytest.mark.xfail(reason=PENDING[key], strict=True))
    asked = all_cases()[noun][name]
    theirs = recorded(noun)[name]
    ours = ask_until(asker_of(asked.server), asked, theirs)
    if theirs == [DIED]:
        assert not any("connection" in answer for answer in ours)
    elif key in DIFFERENCES:
        assert masked(ours, asked.masks) != masked(theirs, asked.masks), f"differs no longer: {DIFFERENCES[key]}"
    else:
        assert masked(ours, asked.masks) == masked(theirs, asked.masks)


def test_every_listed_case_exists_and_is_listed_once() -> None:
    keys = {f"{noun}/{name}" for noun, name in _KEYS}
    assert set(DIFFERENCES) <= keys
    assert set(PENDING) <= keys
    assert not set(DIFFERENCES) & set(PENDING)


@pytest.mark.parametrize("noun", list(all_cases()))
def test_what_is_recorded_is_what_is_asked(noun: str) -> None:
    assert list(recorded(noun)) == list(all_cases()[noun])
