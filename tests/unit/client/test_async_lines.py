"""The asyncio client's own end of ZeroMQ's wire protocol, against libzmq and against peers that cut, stall and leave."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.unit.client.test_zmtp import GREETING, MESSAGES, READY, wire
from tis.client.async_lines import AsyncPlainLine
from tis.client.errors import ConnectionLostError, RefusedError


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


class Ears:
    """What a line has told."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.losses: asyncio.Queue[ConnectionLostError] = asyncio.Queue()

    def line(self, address: str, connect_timeout_s: float = 10) -> AsyncPlainLine:
        return AsyncPlainLine(address, connect_timeout_s, self.messages.put_nowait, self.losses.put_nowait)


@pytest.fixture
def router() -> Iterator["zmq.Socket[bytes]"]:
    """libzmq's server: it echoes nothing by itself."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as made:
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVTIMEO, 20_000)
        yield made


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_messages_of_all_sizes_go_to_libzmq_and_come_back(
    router: "zmq.Socket[bytes]", tmp_path: Path, scheme: str
) -> None:
    router.bind("tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{tmp_path}/s")

    async def ask() -> None:
        ears = Ears()
        line = ears.line(bytes(router.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode())
        for frames in MESSAGES:
            sending = asyncio.ensure_future(line.send(frames))
            identity, *came = await asyncio.to_thread(router.recv_multipart)
            await sending
            assert came == frames
            router.send_multipart([identity, *frames])
            assert await ears.messages.get() == frames
        line.post([b"posted"])
        for number, may_wait in enumerate((True, True, False, True)):
            await line.write(wire([b"written %d" % number]), may_wait=may_wait)
        for expected in (b"posted", *(b"written %d" % number for number in range(4))):
            assert (await asyncio.to_thread(router.recv_multipart))[1:] == [expected]
        await line.close()
        with pytest.raises(ConnectionLostError, match="has been closed"):
            await line.send([b"x"])

    run(ask())


@contextlib.asynccontextmanager
async def serving(path: Path, words: bytes = GREETING + READY) -> AsyncIterator[Callable[[], Any]]:
    """A server of a few bytes; gives the way to its next connection."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(words)
        await accepted.put((reader, writer))

    async with await asyncio.start_unix_server(meet, path):
        yield accepted.get
        for writer in writers:
            writer.close()


@pytest.mark.parametrize("piece", [1, 65, 1000, 1 << 30])
def test_messages_come_whole_however_the_bytes_are_cut(tmp_path: Path, piece: int) -> None:
    messages = MESSAGES if piece > 64 else MESSAGES[:2]
    data = b"".join(map(wire, messages))

    async def ask() -> None:
        ears = Ears()
        async with serving(tmp_path / "s") as next_connection:
            line = ears.line(f"ipc://{tmp_path}/s")
            await line.send([b"hello"])
            _, writer = await next_connection()
            for at in range(0, len(data), piece):
                writer.write(data[at : at + piece])
                await writer.drain()
            for frames in messages:
                assert await ears.messages.get() == frames
            await line.close()

    run(ask())


def test_the_end_of_a_connection_is_told_and_the_next_message_connects_anew(tmp_path: Path) -> None:
    async def ask() -> None:
        ears = Ears()
        async with serving(tmp_path / "s") as next_connection:
            line = ears.line(f"ipc://{tmp_path}/s")
            await line.send([b"one"])
            _, writer = await next_connection()
            writer.close()
            assert "has ended" in str(await ears.losses.get())
            # Nobody is told what is posted now.
            line.post([b"lost"])
            # Of two that send at the same time one connects.
            await asyncio.gather(line.send([b"two"]), line.send([b"three"]))
            reader, writer = await next_connection()
            heard = await reader.readuntil(b"three")
            assert heard.endswith(wire([b"two"]) + wire([b"three"]))
            await line.close()

    run(ask())


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, GREETING.replace(b"NULL\0", b"CURVE")])
def test_what_is_no_zeromq_is_told(tmp_path: Path, words: bytes) -> None:
    async def ask() -> None:
        async with serving(tmp_path / "s", words):
            with pytest.raises(RefusedError, match="does not speak ZeroMQ without keys"):
                await Ears().line(f"ipc://{tmp_path}/s").send([b"x"])

    run(ask())


def test_who_never_greets_and_who_is_not_there_is_given_up(tmp_path: Path) -> None:
    async def ask() -> None:
        with pytest.raises(ConnectionLostError, match="no server is at"):
            await Ears().line(f"ipc://{tmp_path}/nobody", 0.1).send([b"x"])
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(tmp_path / "s"))
            silent.listen()
            with pytest.raises(ConnectionLostError, match=r"did not answer within 0\.2 s"):
                await Ears().line(f"ipc://{tmp_path}/s", 0.2).send([b"x"])

    run(ask())


def test_a_server_that_takes_nothing_is_waited_for_and_not_by_those_who_give_up(tmp_path: Path) -> None:
    async def ask() -> None:
        ears = Ears()
        async with serving(tmp_path / "s") as next_connection:
            line = ears.line(f"ipc://{tmp_path}/s")
            await line.send([b"hello"])
            reader, _ = await next_connection()
            large = [b"z" * 20_000_000]
            waiting = [asyncio.ensure_future(line.send(large)) for _ in range(2)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not any(each.done() for each in waiting)
            waiting[0].cancel()
            await reader.readuntil(wire([b"hello"]))
            await reader.readexactly(2 * len(wire(large)))
            await waiting[1]
            assert waiting[0].cancelled()
            await line.close()

    run(ask())


def test_heartbeats_are_answered(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving(tmp_path / "s") as next_connection:
            line = Ears().line(f"ipc://{tmp_path}/s")
            await line.send([b"hello"])
            reader, writer = await next_connection()
            writer.write(b"\x04\x0b\x04PING\x00\x64mine")
            await reader.readuntil(b"\x04\x09\x04PONGmine")
            await line.close()

    run(ask())
