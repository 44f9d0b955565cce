"""A generate call whose model gives no, one or several answers: what the client sees of them, and that all are released."""

import asyncio
import itertools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette

from tests.unit.frontend.connection import FakeCore
from tis.contracts import messages as m
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import not_found
from tis.settings import ServerSettings
from tis_frontend.backlog import EACH_BYTES, Backlog
from tis_frontend.http.generate import generate_routes
from tis_frontend.model_table import ModelTable

A, Y = TensorSpec("A", "INT32", (1,)), TensorSpec("Y", "INT32", (1,))
SPEC = ModelSpec("m", 1, "", "", 0, (A,), (Y,), decoupled=True)
NOT_ONE = (
    '{"error":"generate expects model to produce exactly 1 response, use generate stream for model that generates various '
    'number of responses"}'
)


def value(number: int, *, final: bool = False) -> Answer:
    data = memoryview(np.array([number], "<i4").tobytes())
    return Answer([OutputTensor("Y", "INT32", (1,), data)], blocks=((number, 1),), final=final)


def failure(*, final: bool = False) -> Answer:
    return Answer([], not_found("boom"), final=final)


END = Answer([], is_empty=True)


def text(number: int) -> str:
    return f'{{"Y":{number},"model_name":"m","model_version":"1"}}'


def call(core: FakeCore, path: str, answers: list[Answer], *, leave: bool = False) -> tuple[int, str]:
    """Status and body of a call that is answered so; `leave` closes the connection behind the answers."""
    table = ModelTable()
    table.replace(m.Table(1, (m.TableEntry(SPEC, ready=True),)))
    app = Starlette(routes=generate_routes())
    app.state.server = SimpleNamespace(
        core=core, settings=ServerSettings(), check_running=lambda: None, model=lambda *key: table.find(*key)
    )
    sent: list[Any] = []

    async def run() -> None:
        received = iter([{"type": "http.request", "body": json.dumps({"A": 1}).encode()}])
        gone = asyncio.Event()

        async def receive() -> Any:
            for event in received:
                return event
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [],
            "query_string": b"",
            "http_version": "1.1",
        }
        task = asyncio.ensure_future(app(scope, receive, send))
        while not core.submitted:  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0)
        deliver: Callable[[Answer], None] | None = core.submitted[0].deliver
        assert deliver is not None
        for answer in answers:
            deliver(answer)
        if leave:
            for _ in range(20):
                await asyncio.sleep(0)
            gone.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(run())
    body = b"".join(event.get("body", b"") for event in sent)
    assert len(core.released) == len(answers)
    return sent[0]["status"], body.decode()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([value(7, final=True)], (200, text(7))),
        ([value(7), END], (200, text(7))),
        ([END], (200, NOT_ONE)),
        ([value(1), value(2), END], (200, NOT_ONE)),
        ([value(1), failure(), END], (200, NOT_ONE)),
        ([failure(), END], (400, '{"error":"boom"}')),
        ([failure(final=True)], (400, '{"error":"boom"}')),
    ],
)
def test_generate_takes_exactly_one_answer(answers: list[Answer], expected: tuple[int, str]) -> None:
    # Of several answers those behind the second are not read, but given back.
    assert call(FakeCore(), "/v2/models/m/generate", answers) == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([value(0), value(1), END], (200, f"data: {text(0)}\n\ndata: {text(1)}\n\n")),
        ([value(0), value(1, final=True)], (200, f"data: {text(0)}\n\ndata: {text(1)}\n\n")),
        ([END], (200, "")),
        ([value(0), failure(final=True)], (200, f'data: {text(0)}\n\ndata: {{"error":"boom"}}\n\n')),
        ([failure(), END], (400, 'data: {"error":"boom"}\n\n')),
    ],
)
def test_a_stream_gives_every_answer_and_its_first_one_settles_the_status(
    answers: list[Answer], expected: tuple[int, str]
) -> None:
    assert call(FakeCore(), "/v2/models/m/generate_stream", answers) == expected


@pytest.mark.parametrize("answers", [[], [value(0)]])
@pytest.mark.parametrize("path", ["generate", "generate_stream"])
def test_a_client_that_goes_cancels_what_has_not_come(path: str, answers: list[Answer]) -> None:
    core = FakeCore()
    call(core, f"/v2/models/m/{path}", answers, leave=True)
    assert core.submitted[0].cancelled


def test_events_that_are_not_taken_end_the_stream_and_hold_nothing_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the answers come before the client has taken the first, and a second passes whenever somebody looks."""
    backlog = Backlog(3 * (EACH_BYTES + len(text(1))), most_bytes=1 << 30, clock=itertools.count().__next__)
    monkeypatch.setattr("tis_frontend.http.generate.BACKLOG", backlog)
    core = FakeCore()
    status, body = call(core, "/v2/models/m/generate_stream", [value(number) for number in range(4)])
    assert status == 400
    assert body.startswith('data: {"error":"responses are not taken: ')
    assert core.submitted[0].cancelled
    assert (backlog.waiting_bytes, backlog.lines) == (0, set())
