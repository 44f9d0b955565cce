"""Messages as a client sends and gets them: a head of MessagePack and frames; and what an answer means."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from tis.client.errors import ClientError, InferenceError

Head = dict[str, Any]

#: How servers begin a reply, up to its number.
_REPLY: Final = b"\x89\xa4type\xa5reply\xa2id"
_NUMBER_AT: Final = len(_REPLY)
_SHORTEST_REPLY_BYTES: Final = _NUMBER_AT + 9
#: How many bytes follow the first one of a larger integer.
_NUMBER_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_MOST_KEPT: Final = 64
_LONGEST_KEPT_BYTES: Final = 1024


class UnknownConnectionError(ClientError):
    """The server has been restarted: nothing was done, and after a hello it may be asked again."""


class Call(NamedTuple):
    """A message to be sent, whose answer is awaited."""

    head: Head
    frames: Sequence[Any] = ()


class Answer(NamedTuple):
    """What came back. The head of a reply has its outputs by name."""

    head: Head
    frames: Sequence[Any]
    #: Which request or call it is about; 0: none.
    number: int


def packed(call: Call) -> list[Any]:
    """The frames of a message."""
    return [msgpack.packb(call.head), *call.frames]


class Reader:
    """What a server says, read: a reply that is like one before, but for its number, is not read again."""

    def __init__(self) -> None:
        #: Heads of replies by all that stands behind their number. Nobody changes them.
        self._heads: dict[bytes, Head] = {}

    def read(self, frames: Sequence[Any]) -> Answer:
        """A message that has come.

        Raises:
            ClientError: it is none.
        """
        packed_head = frames[0]
        if len(packed_head) < _SHORTEST_REPLY_BYTES or not packed_head.startswith(_REPLY):
            return _unpacked(frames)
        # MessagePack has integers of one to nine bytes; the first one says how many follow.
        size_bytes = _NUMBER_BYTES.get(packed_head[_NUMBER_AT], 0)
        rest_at = _NUMBER_AT + 1 + size_bytes
        rest = bytes(packed_head[rest_at:])
        head = self._heads.get(rest)
        if head is None:
            answer = _unpacked(frames)
            if len(rest) <= _LONGEST_KEPT_BYTES:
                if len(self._heads) >= _MOST_KEPT:
                    self._heads.clear()
                self._heads[rest] = {key: value for key, value in answer.head.items() if key != "id"}
            return answer
        number = int.from_bytes(packed_head[_NUMBER_AT + 1 : rest_at], "big") if size_bytes else packed_head[_NUMBER_AT]
        return Answer(head, frames[1:], number)


def _unpacked(frames: Sequence[Any]) -> Answer:
    try:
        head = msgpack.unpackb(memoryview(frames[0]), strict_map_key=False)
    except ValueError as error:
        raise ClientError(f"the server sent what is no message: {error}") from None
    if not isinstance(head, dict) or "type" not in head:
        raise ClientError("the server sent what is no message")
    if head["type"] == "reply":
        head["outputs"] = {output["name"]: output for output in head["outputs"]}
    return Answer(head, frames[1:], head.get("id", 0))


def checked(answer: Answer) -> Answer:
    """An answer that is no error.

    Raises:
        UnknownConnectionError: the server wants a hello first.
        InferenceError: it is one.
    """
    head = answer.head
    if head["type"] == "error":
        if head["greet"]:
            raise UnknownConnectionError(head["text"])
        raise InferenceError(head["code"], head["text"])
    return answer


def is_over(head: Head) -> bool:
    """True where nothing that a request had in shared memory is touched any more after this message."""
    return head["type"] == "over" or (bool(head.get("final", True)) and not head.get("running", False))
