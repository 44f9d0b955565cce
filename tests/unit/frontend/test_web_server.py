"""What web services have of uvicorn: they end when they are told to, and sleep until then."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from tis_frontend.web_server import web_server


async def _app(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


async def _ask(address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def _served(server: uvicorn.Server, listening: socket.socket, asked: list[bytes]) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    asked.append(await _ask(listening.getsockname()))
    server.should_exit = True
    await asyncio.wait_for(serving, 5)


def test_it_answers_until_it_is_told_to_end_and_then_ends(listening: socket.socket) -> None:
    asked: list[bytes] = []
    server = web_server(_app)
    assert not server.should_exit
    asyncio.run(_served(server, listening, asked))
    assert asked[0].startswith(b"HTTP/1.1 200 OK")
    assert b"here" in asked[0]
    assert server.should_exit


def test_one_that_is_told_to_end_before_it_listens_ends(listening: socket.socket) -> None:
    server = web_server(_app)
    server.should_exit = True
    asyncio.run(asyncio.wait_for(server.serve(sockets=[listening]), 5))


def test_it_sleeps_while_nobody_asks(listening: socket.socket) -> None:
    ticks: list[str] = []

    async def run() -> None:
        server = web_server(_app)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await _ask(listening.getsockname())
        loop = asyncio.get_running_loop()
        # What the loop will wake for by itself: nothing, where the server sleeps.
        ticks.extend(str(each) for each in loop._scheduled if not each.cancelled())  # type: ignore[attr-defined]
        server.should_exit = True
        await asyncio.wait_for(serving, 5)

    asyncio.run(run())
    assert ticks == []
