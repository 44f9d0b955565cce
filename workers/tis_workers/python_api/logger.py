"""`Logger`: a model's lines in the server's log, with the place in the model that wrote them."""

import logging
import sys
from enum import Enum
from typing import ClassVar

from tis.log import get_logger, verbose
from tis_workers.python_api.errors import fits

_log = get_logger(__name__)


class Level(Enum):
    """How severe a line is."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3

    def __int__(self) -> int:
        return self.value


_NUMBERS = {
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
    Level.VERBOSE: verbose(1),
}


class Logger:
    """All its functions are static: models call `pb_utils.Logger.log_info("text")`."""

    LogLevel: ClassVar = Level
    INFO: ClassVar = Level.INFO
    WARNING: ClassVar = Level.WARNING
    ERROR: ClassVar = Level.ERROR
    VERBOSE: ClassVar = Level.VERBOSE

    @staticmethod
    def log(message: str, level: Level = Level.INFO) -> None:
        """Write a line."""
        _write(message, level)

    @staticmethod
    def log_info(message: str) -> None:
        """Write a line of information."""
        _write(message, Level.INFO)

    @staticmethod
    def log_warn(message: str) -> None:
        """Write a warning."""
        _write(message, Level.WARNING)

    @staticmethod
    def log_error(message: str) -> None:
        """Write an error."""
        _write(message, Level.ERROR)

    @staticmethod
    def log_verbose(message: str) -> None:
        """Write a line that is there from `--log-verbose=1` on."""
        _write(message, Level.VERBOSE)


def _write(message: str, level: Level) -> None:
    if not (fits(message, str) and fits(level, Level)):
        raise TypeError(f"Logger takes a message (str) and a level of Logger; got {message!r} and {level!r}")
    number = _NUMBERS[level]
    if _log.isEnabledFor(number):
        frame = sys._getframe(2)  # noqa: SLF001 - what the standard library's logging does, too
        code = frame.f_code
        _log.handle(_log.makeRecord(_log.name, number, code.co_filename, frame.f_lineno, message, (), None))
