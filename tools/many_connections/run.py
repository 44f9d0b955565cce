"""A server from its start to its stop, with thousands of connections in between."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import anonymous_bytes, open_sockets
from tests.harness.repository import one_cpu
from tests.harness.server import HOST, Server
from tests.harness.waiting import eventually
from tis.supervisor.file_limit import raise_file_limit
from tools.many_connections.clients import MODEL, Client, GrpcClient, HttpClient
from tools.many_connections.report import Report

FACES: Final[dict[str, type[Client]]] = {"http": HttpClient, "grpc": GrpcClient}
#: Handshakes and requests under way, where not all go at once.
_AT_A_TIME: Final = 64
_DEADLINE_S: Final = 240.0
#: What may stay when all have gone: this much, or a share of what they took. Python's allocator returns whole arenas only.
_MOST_LEFT_BYTES: Final = 16 << 20
_MOST_LEFT_SHARE: Final = 0.5


def measure(face: str, connections: int, folder: Path) -> Report:
    """Open so many connections to a server of its own, use and close them, and look at what stays."""
    raise_file_limit()
    identity("FP32", [-1]).write(folder / "models", MODEL, extra=one_cpu() + "dynamic_batching {}", max_batch_size=0)
    server = Server(folder / "models", "--log-verbose=1", log=folder / "log")
    report = Report(face, connections)
    try:
        server.start().wait_ready()
        uvloop.run(asyncio.wait_for(_all(server, report, FACES[face]), _DEADLINE_S))
        wait_pool_empty(server)
        if server.stop() != 0:
            report.problems.append("the server has not stopped in order")
    finally:
        server.close()
    _judge(report)
    return report


def _judge(report: Report) -> None:
    if report.idle_sockets - report.before_sockets != report.connections:
        report.problems.append("the server does not have all connections")
    if report.after_sockets > report.before_sockets:
        report.problems.append("sockets stay open")
    if not _is_back(report, report.after_bytes):
        report.problems.append("memory is not given back")


async def _all(server: Server, report: Report, kind: type[Client]) -> None:
    port = server.grpc_port if kind is GrpcClient else server.http_port
    (frontend,) = server.frontends()
    # What the first requests make once is no growth.
    first = await _connect(kind, port, 0)
    await _ask(report, [first] * 200, at_a_time=1)
    first.close()
    await asyncio.to_thread(wait_pool_empty, server)
    report.before_sockets = open_sockets(frontend.pid)
    report.before_bytes = anonymous_bytes(frontend.pid)

    began_s = time.monotonic()
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def connect(number: int) -> Client:
        async with gate:
            return await _connect(kind, port, number)

    clients = await asyncio.gather(*(connect(number) for number in range(report.connections)))
    report.connect_s = time.monotonic() - began_s
    wanted = report.before_sockets + report.connections
    await asyncio.to_thread(eventually, lambda: open_sockets(frontend.pid) >= wanted, "all are accepted")
    report.idle_sockets = open_sockets(frontend.pid)
    report.idle_bytes = anonymous_bytes(frontend.pid)

    report.turns_s = await _timed(_ask(report, clients, at_a_time=_AT_A_TIME))
    report.at_once_s = await _timed(_ask(report, clients, at_a_time=len(clients)))
    # A heartbeat later, nothing of the requests is left.
    await asyncio.to_thread(wait_pool_empty, server)
    report.used_bytes = anonymous_bytes(frontend.pid)

    for client in clients:
        client.close()
    await asyncio.to_thread(
        eventually, lambda: open_sockets(frontend.pid) <= report.before_sockets, "all are closed", 60.0
    )
    await asyncio.to_thread(wait_pool_empty, server)
    report.after_sockets = open_sockets(frontend.pid)
    with contextlib.suppress(AssertionError):
        # The frontend looks once a second.
        await asyncio.to_thread(
            eventually, lambda: _is_back(report, anonymous_bytes(frontend.pid)), "memory is given back", 5.0
        )
    report.after_bytes = anonymous_bytes(frontend.pid)


def _is_back(report: Report, after_bytes: int) -> bool:
    """Whether memory is roughly what it was."""
    taken_bytes = report.used_bytes - report.before_bytes
    return after_bytes - report.before_bytes <= max(_MOST_LEFT_BYTES, taken_bytes * _MOST_LEFT_SHARE)


async def _connect(kind: type[Client], port: int, number: int) -> Client:
    make: Callable[[], Client] = lambda: kind(number)  # noqa: E731
    _, client = await asyncio.get_running_loop().create_connection(make, HOST, port)
    return client


async def _timed(work: Awaitable[None]) -> float:
    began_s = time.monotonic()
    await work
    return time.monotonic() - began_s


async def _ask(report: Report, clients: Sequence[Client], *, at_a_time: int) -> None:
    """A request of each; what is wrong is noted, the first few in words."""
    gate = asyncio.Semaphore(at_a_time)
    wrong: list[str] = []

    async def ask(client: Client) -> None:
        async with gate:
            try:
                if not await client.is_right():
                    wrong.append(f"connection {client.number} got another answer")
            except ConnectionError as error:
                wrong.append(str(error))

    await asyncio.gather(*(ask(client) for client in clients))
    if wrong:
        report.problems.append(f"{len(wrong)} of {len(clients)} requests failed, such as: {wrong[0]}")
