"""Messages as a client sends and gets them: a head of MessagePack and frames; and what an answer means."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from tis.client.errors import ClientError, InferenceError

Head = dict[str, Any]


class UnknownConnectionError(ClientError):
    """The server has been restarted: nothing was done, and after a hello it may be asked again."""


class Call(NamedTuple):
    """A message to be sent, whose answer is awaited."""

    head: Head
    frames: Sequence[Any] = ()


class Answer(NamedTuple):
    """What came back."""

    head: Head
    frames: Sequence[Any]


def packed(call: Call) -> list[Any]:
    """The frames of a message."""
    return [msgpack.packb(call.head), *call.frames]


def unpacked(frames: Sequence[Any]) -> Answer:
    """A message that has come.

    Raises:
        ClientError: it is none.
    """
    head = msgpack.unpackb(memoryview(frames[0]), strict_map_key=False)
    if not isinstance(head, dict) or "type" not in head:
        raise ClientError("the server sent what is no message")
    return Answer(head, frames[1:])


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
