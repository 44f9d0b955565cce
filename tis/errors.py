"""The one tree of errors. A code says what kind of failure it is; each face owns the table from code to its own status.

Nothing here knows HTTP or gRPC, and nothing crosses a process boundary but a code's name and a text.
"""

from enum import Enum


class Code(str, Enum):  # noqa: UP042 - workers run in Python 3.10, too, which has no StrEnum
    """Kinds of failure, named as Triton's TRITONSERVER_Error_Code names them."""

    UNKNOWN = "UNKNOWN"
    INTERNAL = "INTERNAL"
    NOT_FOUND = "NOT_FOUND"
    INVALID_ARG = "INVALID_ARG"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED = "UNSUPPORTED"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CANCELLED = "CANCELLED"

    def __str__(self) -> str:
        return self.value

    @property
    def spoken(self) -> str:
        """The words Triton puts before a reason in an index or a load error, such as `Invalid argument`."""
        return _SPOKEN[self]


_SPOKEN: dict[Code, str] = {
    Code.UNKNOWN: "Unknown",
    Code.INTERNAL: "Internal",
    Code.NOT_FOUND: "Not found",
    Code.INVALID_ARG: "Invalid argument",
    Code.UNAVAILABLE: "Unavailable",
    Code.UNSUPPORTED: "Unsupported",
    Code.ALREADY_EXISTS: "Already exists",
    Code.CANCELLED: "Cancelled",
}


class TisError(Exception):
    """A failure that somebody outside is told about: the client, the operator, or both.

    The text says what was wrong, what was expected and what to do, in Triton's words where Triton has words for it.
    """

    def __init__(self, code: Code, message: str, *, complete: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        #: True where the text is for the client as it stands, without the request's id before it.
        self.complete = complete


def invalid(message: str) -> TisError:
    """An INVALID_ARG error: the request or the configuration is at fault."""
    return TisError(Code.INVALID_ARG, message)


def internal(message: str) -> TisError:
    """An INTERNAL error: the server is at fault, or Triton calls it so."""
    return TisError(Code.INTERNAL, message)


def not_found(message: str) -> TisError:
    """A NOT_FOUND error."""
    return TisError(Code.NOT_FOUND, message)


def unavailable(message: str) -> TisError:
    """An UNAVAILABLE error: true now, perhaps not later."""
    return TisError(Code.UNAVAILABLE, message)


def unsupported(message: str) -> TisError:
    """An UNSUPPORTED error: the server does not do this."""
    return TisError(Code.UNSUPPORTED, message)
