"""Errors as models make them, and as they raise them: Triton's text of an exception with the places it came through."""

from enum import Enum
from pathlib import Path
from types import FrameType
from typing import ClassVar, Final

from tis.errors import Code, TisError

_EMPTY: Final = "<EMPTY MESSAGE>"
_OWN: Final = str(Path(__file__).parent)


class ErrorCode(Enum):
    """The codes of `TritonError`, with the numbers of TRITONSERVER_Error_Code."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7

    def __int__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.value == other if isinstance(other, int) else self is other

    def __hash__(self) -> int:
        return self.value


class TritonModelException(Exception):  # noqa: N818 - the name that models catch
    """Raised by this interface, and by models that want their requests to fail."""


class TritonError:
    """The error of a response."""

    UNKNOWN: ClassVar = ErrorCode.UNKNOWN
    INTERNAL: ClassVar = ErrorCode.INTERNAL
    NOT_FOUND: ClassVar = ErrorCode.NOT_FOUND
    INVALID_ARG: ClassVar = ErrorCode.INVALID_ARG
    UNAVAILABLE: ClassVar = ErrorCode.UNAVAILABLE
    UNSUPPORTED: ClassVar = ErrorCode.UNSUPPORTED
    ALREADY_EXISTS: ClassVar = ErrorCode.ALREADY_EXISTS
    CANCELLED: ClassVar = ErrorCode.CANCELLED

    __slots__ = ("_code", "_message")

    def __init__(self, message: str, code: ErrorCode = ErrorCode.INTERNAL) -> None:
        if not (fits(message, str) and fits(code, ErrorCode)):
            raise TypeError(
                f"TritonError takes a message (str) and one of its own codes, such as TritonError.INTERNAL; "
                f"got {message!r} and {code!r}"
            )
        self._message = message
        self._code = code

    def message(self) -> str:
        """The text."""
        return self._message

    def code(self) -> ErrorCode:
        """The code."""
        return self._code

    def as_error(self) -> TisError:
        """The same as the server's error."""
        return TisError(Code[self._code.name], self._message)


# The name that Triton's class has for its codes.
setattr(TritonError, "__ErrorCode", ErrorCode)


def of_code(code: str) -> ErrorCode:
    """A code of the server's as models see it."""
    return ErrorCode[code]


def fits(value: object, kind: type) -> bool:
    """Whether what a model gives is of a kind: models are not type-checked."""
    return isinstance(value, kind)


def described(error: BaseException, caller_file: str) -> str:
    r"""An exception as Triton tells it: `ValueError: text\n\nAt:\n  file(line): function\n`, the innermost place first.

    Places are listed up to the server's own file that called the model, without those in this package.
    """
    places = []
    frame = _innermost(error)
    while frame is not None and frame.f_code.co_filename != caller_file:
        code = frame.f_code
        if not code.co_filename.startswith(_OWN):
            places.append(f"  {code.co_filename}({frame.f_lineno}): {code.co_name}\n")
        frame = frame.f_back
    text = f"{type(error).__name__}: {_text_of(error)}"
    return f"{text}\n\nAt:\n{''.join(places)}" if places else text


def _innermost(error: BaseException) -> FrameType | None:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame if traceback is not None else None


def _text_of(error: BaseException) -> str:
    try:
        return str(error) or _EMPTY
    except BaseException:  # noqa: BLE001 - a model's own exception may fail even here
        return "<MESSAGE UNAVAILABLE>"
