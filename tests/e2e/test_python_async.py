"""Python models whose `execute` is a coroutine: run to its end, or beside others where the model is decoupled."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.python_server import refused, run, said
from tests.e2e.test_python_decoupled import Stream, message
from tests.harness.faces import Face, HttpFace
from tests.harness.observing import wait_pool_empty
from tests.harness.python_models import CODE_ASYNC, CODE_ASYNC_DECOUPLED
from tests.harness.server import Server

_SENDER: Final = "s = request.get_response_sender()\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("async")
    CODE_ASYNC.write(folder / "models", "code")
    CODE_ASYNC_DECOUPLED.write(folder / "models", "code_decoupled")
    served = Server(folder / "models", "--log-verbose=1", log=folder / "log")
    try:
        served.start().wait_ready()
        yield served
        wait_pool_empty(served)
        assert served.stop() == 0
    finally:
        served.close()


@pytest.fixture
def face(server: Server) -> Iterator[Face]:
    client = HttpFace(server)
    yield client
    client.close()


@pytest.fixture
def stream(server: Server) -> Iterator[Stream]:
    opened = Stream(server)
    yield opened
    opened.close()


def test_a_coroutine_is_run_to_its_end(face: Face) -> None:
    assert said(face, "await asyncio.sleep(0.01)\nout = [R('late')]") == "late"


def test_all_coroutines_of_a_model_share_a_loop(face: Face) -> None:
    loops = {said(face, "out = [R(id(asyncio.get_running_loop()))]") for _ in range(3)}
    assert len(loops) == 1


def test_a_task_of_an_earlier_request_goes_on(face: Face) -> None:
    said(face, "self.kept['task'] = asyncio.ensure_future(asyncio.sleep(0.01, 'done'))\nout = [R(1)]")
    assert said(face, "out = [R(await self.kept['task'])]") == "done"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('boom')", "ValueError: boom\n\nAt:\n  <string>(3): main\n"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt()", "KeyboardInterrupt: <EMPTY MESSAGE>"),
        ("raise asyncio.CancelledError()", "CancelledError: <EMPTY MESSAGE>"),
        ("out = 7", "Expected a list in the execute return, found type '<class 'int'>'."),
        ("out = []", "Number of InferenceResponse objects do not match"),
    ],
)
def test_what_goes_wrong_in_it_is_told_and_the_loop_goes_on(face: Face, code: str, text: str) -> None:
    assert refused(face, code).text.startswith(
        f"Failed to process the request(s) for model 'code_0_0', message: {text}"
    )
    assert said(face, "out = [R('alive')]") == "alive"


def test_a_model_that_stops_the_loop_finds_it_running_again(face: Face) -> None:
    run(face, "asyncio.get_running_loop().stop()\nout = [R(1)]")
    assert said(face, "await asyncio.sleep(0.01)\nout = [R('alive')]") == "alive"


def test_executions_of_a_decoupled_model_are_in_flight_together(stream: Stream) -> None:
    """The first one waits for what only the second one brings."""
    waits = "e = self.kept.setdefault('event', asyncio.Event())\n"
    stream.send(message(f"{_SENDER}{waits}await e.wait()\ns.send(R('first'), 1)"))
    stream.send(message(f"{_SENDER}{waits}s.send(R('second'), 1)\ne.set()"))
    assert stream.told() == (["second"], True)
    assert stream.told() == (["first"], True)


@pytest.mark.parametrize("before", ["", _SENDER])
def test_a_decoupled_coroutine_that_raises_fails_its_request(stream: Stream, before: str) -> None:
    """Triton only logs it, and its client waits for ever."""
    stream.send(message(f"{before}raise ValueError('boom')"))
    text, is_final = stream.told()
    assert "ValueError: boom" in text
    assert is_final
    stream.send(message(f"{_SENDER}s.send(R('alive'), 1)"))
    assert stream.told() == (["alive"], True)


def test_a_response_before_the_exception_arrives(stream: Stream) -> None:
    stream.send(message(f"{_SENDER}s.send(R('one'))\nraise ValueError('boom')"))
    assert stream.told() == (["one"], False)
    assert "ValueError: boom" in stream.told()[0]


def test_a_decoupled_coroutine_that_says_nothing_is_an_error(stream: Stream) -> None:
    stream.send(message("pass"))
    assert "model 'code_decoupled' gave no response" in stream.told()[0]


def test_a_sender_may_outlive_its_coroutine(stream: Stream) -> None:
    stream.send(message(f"{_SENDER}asyncio.get_running_loop().call_later(0.01, lambda: s.send(R('later'), 1))"))
    assert stream.told() == (["later"], True)
