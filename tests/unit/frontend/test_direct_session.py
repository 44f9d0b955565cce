"""What a direct client's connection writes, and when: one answer at once, several of one turn of the loop together."""

import asyncio
from typing import Any

import pytest

from tis_frontend.direct import messages as dm
from tis_frontend.direct.session import Session
from tis_frontend.direct.zmtp import Budget, Connection, Limits


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Conversation:
    """Says what the test wants."""

    is_busy = False


class Meeting:
    """A session over a transport, with a conversation."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.transport = Transport()

        def converse(send: Any, _close: Any) -> Any:
            self.send = send
            return self.conversation

        limits = Limits(1 << 20, 1 << 20, 16)
        self.session = Session(lambda: Connection(limits, Budget(1 << 20)), converse, set(), 1)
        self.session._transport = self.transport

    def say(self, number: int, *, is_busy: bool, part: bytes = b"") -> bytes:
        """Have it send an answer; gives that as it is on the wire."""
        self.conversation.is_busy = is_busy
        parts: list[bytes | memoryview] = [part] if part else []
        data = Connection(Limits(1, 1, 1), Budget(1)).wire(dm.encode(dm.Over(number)), parts)
        assert self.send(dm.Over(number), parts) == len(data)
        return data


def test_the_only_answer_leaves_at_once() -> None:
    meeting = Meeting()
    assert meeting.transport.written == [meeting.say(1, is_busy=False)]


def test_answers_of_one_turn_leave_together_and_in_their_order() -> None:
    async def run() -> None:
        meeting = Meeting()
        said = [meeting.say(number, is_busy=True) for number in range(1, 5)]
        assert not meeting.transport.written
        await asyncio.sleep(0)
        assert meeting.transport.written == [b"".join(said)]
        # The last one has nothing more to wait for, and what waits goes before it.
        said = [meeting.say(5, is_busy=True), meeting.say(6, is_busy=False)]
        assert meeting.transport.written[1:] == said
        await asyncio.sleep(0)
        assert meeting.transport.written[3:] == []

    asyncio.run(run())


def test_much_is_not_waited_with() -> None:
    async def run() -> None:
        meeting = Meeting()
        said = [meeting.say(1, is_busy=True), meeting.say(2, is_busy=True, part=b"x" * 70_000)]
        assert meeting.transport.written == [b"".join(said)]

    asyncio.run(run())


@pytest.mark.parametrize("ends", [True, False])
def test_what_has_been_said_leaves_before_the_end_and_nothing_after_it(ends: bool) -> None:
    async def run() -> None:
        meeting = Meeting()
        said = meeting.say(1, is_busy=True)
        if ends:
            meeting.session.close()
        else:
            meeting.transport.is_closed = True
        await asyncio.sleep(0)
        assert meeting.transport.written == ([said] if ends else [])
        assert meeting.send(dm.Over(2), []) == 0

    asyncio.run(run())
