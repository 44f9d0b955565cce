"""What a server says is read as it is, also where what is like it has been read before."""

from typing import Any

import msgpack
import pytest

from tis.client.errors import ClientError
from tis.client.messages import Answer, Reader
from tis_frontend.direct import messages as dm

NUMBERS = [1, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]


def reply(number: int, *, model: str = "m", size: int = 600_000, final: bool = True) -> bytes:
    """As a server writes it."""
    output = dm.ReplyOutput("Y", "FP32", (1, size // 4), size, None, "r", 64)
    return dm.encode(dm.Reply(number, model, "1", "", final, False, [output], {"p": 1}))


def expected(packed: bytes) -> tuple[dict[str, Any], int]:
    head = msgpack.unpackb(packed)
    head["outputs"] = {output["name"]: output for output in head["outputs"]}
    return head, head.pop("id")


def content(answer: Answer) -> tuple[dict[str, Any], int]:
    return {key: value for key, value in answer.head.items() if key != "id"}, answer.number


def test_replies_of_all_numbers_are_read_as_they_are() -> None:
    reader = Reader()
    for number in (*NUMBERS, *NUMBERS):
        for packed in (reply(number), reply(number, model="n"), reply(number, size=40), reply(number, final=False)):
            answer = reader.read([bytearray(packed), b"frame"])
            assert content(answer) == expected(packed)
            assert answer.frames == [b"frame"]


def test_a_reply_like_one_before_is_not_read_again() -> None:
    reader = Reader()
    reader.read([bytearray(reply(5))])
    first, second = (reader.read([bytearray(reply(number))]) for number in (6, 700))
    assert first.head is second.head
    assert (first.number, second.number) == (6, 700)


def test_no_more_replies_are_kept_than_a_few_short_ones() -> None:
    reader = Reader()
    for size in range(4, 4000, 4):
        assert content(reader.read([bytearray(reply(1, size=size))])) == expected(reply(1, size=size))
    assert len(reader._heads) <= 64
    reader = Reader()
    reader.read([bytearray(reply(1, model="m" * 2000))])
    assert not reader._heads


def test_what_is_no_reply_is_read_too() -> None:
    reader = Reader()
    assert reader.read([bytearray(dm.encode(dm.Over(7)))]) == Answer({"type": "over", "id": 7}, [], 7)
    assert reader.read([bytearray(dm.encode({"type": "welcome"}))]).number == 0
    for wrong in (
        b"",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb({"x": 1}),
        reply(5)[:15],
        reply(5)[:14],
        reply(5)[:30],
    ):
        with pytest.raises(ClientError, match="is no message"):
            reader.read([bytearray(wrong)])
