"""The log of every process: one line for each event, in Triton's format, on the standard library's `logging`.

    I1120 10:15:15.123456 1234 file.py:12] "text"              (format `default`)
    2026-11-20T10:15:15Z I 1234 file.py:12] "text"             (format `ISO8601`)

Times are in UTC. The text is a JSON string, so that nothing a client sends can forge a line; the environment variable
TRITON_SERVER_ESCAPE_LOG_MESSAGES=0 turns that off. Information goes to standard output, warnings and errors to
standard error, or all of it to a file.

    logger = get_logger(__name__)
    logger.info("loaded %s", name)
    logger.debug("...")                  # verbose level 1, `--log-verbose=1`
    logger.log(verbose(2), "...")        # deeper

Several processes write to one file or console: each line is a single write, and the file is opened for appending, so
that lines do not mix.
"""

import json
import logging
import os
import time
from pathlib import Path

from tis.settings import LogSettings

ESCAPE_VARIABLE = "TRITON_SERVER_ESCAPE_LOG_MESSAGES"

#: The packages whose loggers are ours. Others, such as a library's or those of a user's model, have their own ways.
_OURS = ("tis", "tis_frontend", "tis_workers", "tis_shm")
_DEEPEST_VERBOSE = logging.DEBUG
_STDOUT, _STDERR = 1, 2


def get_logger(name: str) -> logging.Logger:
    """The logger of one module; `name` is its `__name__`."""
    return logging.getLogger(name if name.partition(".")[0] in _OURS else f"tis.{name}")


def verbose(level: int) -> int:
    """The standard library's number for a verbose level: 10 (`DEBUG`) for level 1, and down from there."""
    return logging.DEBUG + 1 - min(max(level, 1), _DEEPEST_VERBOSE)


def configure(settings: LogSettings, process_label: str = "", *, capture_foreign: bool = True) -> None:
    """Sets up this process's log, or changes it; what was set up before is closed.

    Args:
        settings: What is logged, how it looks and where it goes.
        process_label: Put before each text, to tell processes apart; empty for none.
        capture_foreign: Whether warnings and errors of libraries get our format too. Not for a process that runs a
            user's model: there the root logger is the model's own to configure.

    Raises:
        OSError: The file cannot be opened.
    """
    handler = _LineHandler(settings, process_label, escape=os.environ.get(ESCAPE_VARIABLE) != "0")
    threshold = _threshold(settings)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(threshold)
        _replace_handler(logger, handler)
    root = logging.getLogger()
    _replace_handler(root, handler if capture_foreign else None)


def change(settings: LogSettings) -> None:
    """Other settings from now on, for a log that has been set up before; its label stays.

    Raises:
        OSError: The file cannot be opened.
    """
    for handler in logging.getLogger(_OURS[0]).handlers:
        if isinstance(handler, _LineHandler):
            captures = handler in logging.getLogger().handlers
            configure(settings, handler.process_label, capture_foreign=captures)
            return


def log_block(logger: logging.Logger, heading: str, block: str) -> None:
    """Logs a table or the like as information: a heading, then the block as it is, on lines of its own."""
    logger.info(heading, stacklevel=2, extra={"block": block})


def _threshold(settings: LogSettings) -> int:
    """The lowest level that is worth making a record for, so that a disabled call costs one look-up."""
    if settings.verbose > 0:
        return verbose(settings.verbose)
    if settings.info:
        return logging.INFO
    return logging.WARNING if settings.warning else logging.ERROR


def _replace_handler(logger: logging.Logger, handler: "_LineHandler | None") -> None:
    for old in logger.handlers[:]:
        if isinstance(old, _LineHandler):
            logger.removeHandler(old)
            old.close()
    if handler is not None:
        logger.addHandler(handler)


class _LineHandler(logging.Handler):
    """Turns a record into one line and writes it where its severity goes."""

    def __init__(self, settings: LogSettings, process_label: str, *, escape: bool) -> None:
        super().__init__()
        self._settings = settings
        self.process_label = process_label
        self._label = f"{process_label}: " if process_label else ""
        self._escape = escape
        self._file = -1
        if settings.file:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(Path(settings.file), flags, 0o644)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record, if its severity is switched on."""
        if not self._wanted(record.levelno):
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a bad format string anywhere must not stop what it tells about
            self.handleError(record)
            return
        console = _STDERR if record.levelno >= logging.WARNING else _STDOUT
        target = self._file if self._file >= 0 else console
        _write(target, line.encode("utf-8", "backslashreplace"))

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, its end included."""
        heading = record.getMessage()
        if record.exc_info:
            heading = f"{heading}\n{logging.Formatter().formatException(record.exc_info)}"
        block: str | None = getattr(record, "block", None)
        if block is not None:
            return f"{self._prefix(record)}{self._text(heading) if heading else ''}\n{block}\n"
        return f"{self._prefix(record)}{self._text(heading)}\n"

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        super().close()

    def _wanted(self, level: int) -> bool:
        if level >= logging.ERROR:
            return self._settings.error
        if level >= logging.WARNING:
            return self._settings.warning
        return self._settings.info if level >= logging.INFO else self._settings.verbose > 0

    def _prefix(self, record: logging.LogRecord) -> str:
        letter = "E" if record.levelno >= logging.ERROR else "W" if record.levelno >= logging.WARNING else "I"
        at = time.gmtime(record.created)
        where = f"{record.process} {record.filename}:{record.lineno}] "
        if self._settings.format == "ISO8601":
            return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', at)} {letter} {where}"
        micros = int(record.created % 1 * 1_000_000)
        return f"{letter}{time.strftime('%m%d %H:%M:%S', at)}.{micros:06d} {where}"

    def _text(self, message: str) -> str:
        message = self._label + message
        return json.dumps(message, ensure_ascii=False) if self._escape else message


def _write(target: int, line: bytes) -> None:
    """Writes all of the line; a console that is gone is nobody's failure."""
    try:
        while line:
            line = line[os.write(target, line) :]
    except OSError:
        pass
