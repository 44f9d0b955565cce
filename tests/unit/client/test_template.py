"""A message that is packed once says each time what it would say if it were packed anew."""

import msgpack
import pytest

from tis.client.template import Blank, Template
from tis.client.zmtp import Incoming, wire

NUMBERS = [0, 1, 255, 1 << 20, (1 << 63) - 1]


def head_of(first: int, second: int) -> dict[str, object]:
    inputs = [{"name": "zwölf", "region": "r", "offset": first, "size": 5000}, {"name": "x" * 300, "frame": 0}]
    return {"type": "infer", "model": "m", "inputs": inputs, "parameters": {"a": True, "b": 0.5}, "id": second}


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize("second", NUMBERS)
def test_a_head_is_what_it_would_be_with_its_numbers(first: int, second: int) -> None:
    blanks = [Blank(), Blank()]
    template = Template(head_of(*(each.value for each in blanks)), blanks, [], is_plain=False)
    assert not template.is_whole
    for _ in range(2):
        assert msgpack.unpackb(template.filled([first, second], [])) == head_of(first, second)
    # The server finds the number of a request there.
    assert template.filled([first, second], [])[-12:] == b"\xa2id\xcf" + second.to_bytes(8, "big")


@pytest.mark.parametrize("sizes", [[], [0], [1], [255], [256], [16384], [5, 0, 300]])
def test_a_whole_message_is_what_is_read_from_the_wire(sizes: list[int]) -> None:
    blanks = [Blank(), Blank()]
    template = Template(head_of(*(each.value for each in blanks)), blanks, sizes, is_plain=True)
    assert template.is_whole
    for value in (3, 4):
        frames = [bytes([value]) * size for size in sizes]
        message = template.filled([value, value + 1], frames)
        head = message[9 : len(message) - sum(size + (9 if size > 255 else 2) for size in sizes)]
        assert msgpack.unpackb(head) == head_of(value, value + 1)
        assert message == b"".join(wire([head, *frames]))


def test_a_message_with_a_large_frame_is_not_made_in_one_piece() -> None:
    blank = Blank()
    template = Template({"id": blank.value}, [blank], [5, 100_000], is_plain=True)
    assert not template.is_whole
    assert msgpack.unpackb(template.filled([7], [b"", b""])) == {"id": 7}


def test_the_number_of_a_request_is_the_last_that_it_says() -> None:
    blank = Blank()
    with pytest.raises(ValueError, match="behind the last blank"):
        Template({"id": blank.value, "more": 1}, [blank], [], is_plain=True)


def test_short_messages_are_taken_as_such_only_after_the_greeting() -> None:
    incoming = Incoming()
    incoming.room()[:4] = b"\x00\x02hi"
    incoming.received(4)
    assert not incoming.messages
