"""What direct clients say and hear, as docs/zeromq.md has it: maps of MessagePack, checked against their types on arrival."""

from typing import Annotated, Any, Final

import msgspec

#: Raised when a message changes its meaning. A client says which version it speaks.
DIRECT_VERSION: Final = 1

_INT63: Final = (1 << 63) - 1
Id = Annotated[int, msgspec.Meta(ge=1, le=_INT63)]
Size = Annotated[int, msgspec.Meta(ge=0, le=_INT63)]
Name = Annotated[str, msgspec.Meta(max_length=1024)]
Dim = Annotated[int, msgspec.Meta(ge=-_INT63 - 1, le=_INT63)]


class _FromClient(msgspec.Struct, tag_field="type", forbid_unknown_fields=True, gc=False):
    """Base of what clients say."""


class Hello(_FromClient, tag="hello"):
    """The first word."""

    version: int
    client: Name = ""


class GetMetadata(_FromClient, tag="metadata"):
    """What the server, or a model, is."""

    id: Id
    model: Name = ""
    version: Name = ""


class Input(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A tensor of a request: its bytes, the number of the frame that has them, or a place in a region."""

    name: Name
    datatype: Name
    shape: Annotated[list[Dim], msgspec.Meta(max_length=64)]
    data: bytes | None = None
    frame: Size | None = None
    region: Name | None = None
    offset: Size = 0
    size: Size | None = None


class WantedOutput(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An output that is asked for: as it is, as so many classes, or in a place of a region."""

    name: Name
    region: Name | None = None
    offset: Size = 0
    size: Size | None = None
    spill: bool = False
    classes: Size = 0


class Infer(_FromClient, tag="infer"):
    """Run a model."""

    id: Id
    model: Name
    inputs: list[Input]
    version: Name = ""
    request_id: Name = ""
    outputs: list[WantedOutput] = []
    parameters: dict[Name, str | int | bool | float] = {}


class Cancel(_FromClient, tag="cancel"):
    """The answer to an `Infer` is not wanted any more."""

    id: Id


class Grant(_FromClient, tag="grant"):
    """Make a region."""

    id: Id
    size: Size


class Register(_FromClient, tag="register"):
    """There is a POSIX object of the client's own."""

    id: Id
    region: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    key: Name
    size: Size
    offset: Size = 0


class Release(_FromClient, tag="release"):
    """Forget a region."""

    id: Id
    region: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class GetStatistics(_FromClient, tag="statistics"):
    """How often and how long models ran."""

    id: Id
    model: Name = ""
    version: Name = ""


class Ping(_FromClient, tag="ping"):
    """Are you there?"""

    id: Id


FromClient = Hello | GetMetadata | Infer | Cancel | Grant | Register | Release | GetStatistics | Ping


class ReplyOutput(msgspec.Struct, omit_defaults=True, gc=False):
    """A tensor of a reply."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    size: int
    frame: int | None = None
    region: str | None = None
    offset: int | None = None


class Reply(msgspec.Struct, tag_field="type", tag="reply", gc=False):
    """A response of a model."""

    id: int
    model: str
    version: str
    request_id: str
    final: bool
    empty: bool
    outputs: list[ReplyOutput]
    parameters: dict[str, Any]


class Error(msgspec.Struct, tag_field="type", tag="error", gc=False):
    """What went wrong."""

    id: int
    code: str
    text: str
    final: bool = True
    #: True where the model may still read and write the request's places in regions; `Over` says when it does not.
    running: bool = False
    #: True where the server does not know the connection: nothing has been done, and the client has to say hello first.
    greet: bool = False


class Over(msgspec.Struct, tag_field="type", tag="over", gc=False):
    """A request that got its error while it ran has ended."""

    id: int


class _Answer(msgspec.Struct):
    id: int


_decoder: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_encoder = msgspec.msgpack.Encoder()
_id_decoder = msgspec.msgpack.Decoder(_Answer)


def decode(head: bytes | bytearray) -> FromClient:
    """A client's message.

    Raises:
        msgspec.DecodeError: it is none, with what is wrong with it.
    """
    try:
        return _decoder.decode(head)
    except (UnicodeDecodeError, RecursionError, OverflowError) as error:
        # msgspec lets these through as they are.
        raise msgspec.DecodeError(str(error)) from None


def id_of(head: bytes | bytearray) -> int:
    """The id of a message that is wrong in other respects; 0 where it has none."""
    try:
        found = _id_decoder.decode(head).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return 0
    return found if 0 < found <= _INT63 else 0


def encode(message: Any) -> bytes:
    """A message to a client: one of the structs here, or a dict with its `type`."""
    return _encoder.encode(message)
