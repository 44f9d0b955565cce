"""Control calls: what a client may ask of the server as a whole. A frontend asks the supervisor, which alone decides.

Each call is answered by one `CallReply`; what it changed has been published to everybody before that.
"""

from tis.contracts.messages.base import Message
from tis.settings import LogSettings


class CallReply(Message, tag=40):
    """How a call ended: an empty code for success, else the name of a `tis.errors.Code` and a text."""

    call_id: int
    code: str = ""
    text: str = ""


class RegisterRegion(Message, tag=41):
    """A client has shared memory of its own that its requests will refer to by name."""

    call_id: int
    peer: int
    name: str
    #: "system": a POSIX object named `key`; "cuda": the raw IPC handle in `handle` of memory on `device_id`.
    kind: str
    key: str
    offset: int
    size_bytes: int
    device_id: int = 0
    handle: bytes = b""
    #: The direct client whose own name this is, and with which it goes; empty for a name that everybody may use.
    client: str = ""
    #: Where not 0: the client's process, and the object is the anonymous one that it has open as the descriptor `fd`.
    pid: int = 0
    fd: int = 0


class GrantRegion(Message, tag=95):
    """A direct client wants a region that the server makes for it. It is called `name`, and known to that client only."""

    call_id: int
    peer: int
    client: str
    name: str
    size_bytes: int


class UnregisterRegion(Message, tag=42):
    """Forget a region, or all regions of a kind for an empty name. Unknown names are no error."""

    call_id: int
    peer: int
    name: str
    kind: str
    #: Those of this direct client; empty for those that everybody may use.
    client: str = ""


class Region(Message):
    """A registered region. `number` is never used again, so a request cannot meet another region of the same name.

    For CUDA memory `key` is what CUDA_VISIBLE_DEVICES calls its GPU.
    """

    number: int
    name: str
    kind: str
    key: str
    offset: int
    size_bytes: int
    device_id: int = 0
    handle: bytes = b""
    #: The supervisor's descriptor of a system object, by which others open it, and the device and inode to know it by.
    fd: int = -1
    identity: tuple[int, int] = (0, 0)
    #: The direct client that alone may name it; empty for everybody.
    client: str = ""


class Regions(Message, tag=43):
    """All registered regions, under a rising epoch. Replaces those before; to frontends and workers."""

    epoch: int
    regions: tuple[Region, ...]
    #: The highest number that any region has had until now.
    newest: int = 0


class RegionsSeen(Message, tag=48):
    """From a frontend: no request will name regions by an older table than this one any more."""

    peer: int
    epoch: int


class RepositoryLoad(Message, tag=53):
    """Load a model, or load it anew where it has changed; answered when that has ended, well or not."""

    call_id: int
    peer: int
    model: str
    #: A config in JSON that replaces the file's; empty for none.
    config: str = ""
    #: A directory that stands for the model's own, filled with the files that the client sent; empty for none. Whoever
    #: gets the call owns it from then on.
    folder: str = ""


class RepositoryUnload(Message, tag=54):
    """Unload a model; answered when no new request reaches it. Unknown names are no error."""

    call_id: int
    peer: int
    model: str
    #: Also the models of an ensemble's steps that are there for it alone.
    dependents: bool = False


class ChangeLog(Message, tag=44):
    """Change some of the log settings of the whole server, by the names of `LogSettings`; values are of their types."""

    call_id: int
    peer: int
    changes: dict[str, bool | int | str]


class LogChanged(Message, tag=45):
    """The log settings from now on; to everybody."""

    settings: LogSettings


class ChangeTrace(Message, tag=46):
    """Change trace settings: of one model, or global ones for an empty name. None clears a setting to its default.

    Values are texts that have been checked one by one; whether they agree with each other the supervisor decides.
    """

    call_id: int
    peer: int
    model: str
    settings: dict[str, tuple[str, ...] | None]


class TraceChanged(Message, tag=47):
    """All trace settings from now on, the global ones under the empty name; to frontends.

    A model that has settings of its own is listed with all that hold for it.
    """

    settings: dict[str, dict[str, tuple[str, ...]]]
