"""The log of every process: one line for each event, in Triton's format, on the standard library's `logging`.

    I1120 10:15:15.123456 1234 file.py:12] "text"              (format `default`)
    2026-11-20T10:15:15Z I 1234 file.py:12] "text"             (format `ISO8601`)
    {"time":"2026-11-20T10:15:15.123456Z","level":"info","pid":1234,"file":"file.py","line":12,"message":"text"}  (`json`)

Times are in UTC. The text is a JSON string, so that nothing a client sends can forge a line; the environment variable
TRITON_SERVER_ESCAPE_LOG_MESSAGES=0 turns that off. Information goes to standard output, warnings and errors to
standard error, or all of it to a file.

    logger = get_logger(__name__)
    logger.info("loaded %s", name)
    logger.debug("...")                  # verbose level 1, `--log-verbose=1`
    logger.log(verbose(2), "...")        # deeper

All processes make one stream of lines: to a file each of them appends whole lines, to the console the supervisor alone
writes, its own lines and those that the others send it through pipes (see `tis.log_output`).
"""

import json
import logging
import os
import time
from typing import Any

from tis.log_output import STDERR, STDOUT, ConsoleOutput, FileOutput, Output, PipeOutput
from tis.settings import LogSettings

ESCAPE_VARIABLE = "TRITON_SERVER_ESCAPE_LOG_MESSAGES"

#: The packages whose loggers are ours. Others, such as a library's or those of a user's model, have their own ways.
_OURS = ("tis", "tis_frontend", "tis_workers", "tis_shm")
_DEEPEST_VERBOSE = logging.DEBUG


def get_logger(name: str) -> logging.Logger:
    """The logger of one module; `name` is its `__name__`."""
    return logging.getLogger(name if name.partition(".")[0] in _OURS else f"tis.{name}")


def verbose(level: int) -> int:
    """The standard library's number for a verbose level: 10 (`DEBUG`) for level 1, and down from there."""
    return logging.DEBUG + 1 - min(max(level, 1), _DEEPEST_VERBOSE)


def configure(
    settings: LogSettings, process_label: str = "", *, capture_foreign: bool = True, pipe_fd: int = -1
) -> None:
    """Sets up this process's log, or changes it; what was set up before is closed.

    Args:
        settings: What is logged, how it looks and where it goes.
        process_label: Put before each text, to tell processes apart; empty for none.
        capture_foreign: Whether warnings and errors of libraries get our format too. Not for a process that runs a
            user's model: there the root logger is the model's own to configure.
        pipe_fd: A pipe to the supervisor that takes the place of the console; -1 for none.

    Raises:
        OSError: The file cannot be opened.
    """
    handler = _LineHandler(settings, process_label, pipe_fd, escape=os.environ.get(ESCAPE_VARIABLE) != "0")
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
            configure(settings, handler.process_label, capture_foreign=captures, pipe_fd=handler.pipe_fd)
            return


def pass_on(stream: int, line: bytes) -> None:
    """Writes a line that another process has made, as it is, to where this process's lines go."""
    for handler in logging.getLogger(_OURS[0]).handlers:
        if isinstance(handler, _LineHandler):
            handler.write(stream, line)


def pass_on_output(stream: int, lines: list[bytes], label: str, pid: int) -> None:
    """Writes lines that are no log: what a process with this label printed, without their ends."""
    for handler in logging.getLogger(_OURS[0]).handlers:
        if isinstance(handler, _LineHandler):
            handler.write(stream, b"".join([handler.labelled(stream, line, label, pid) for line in lines]))


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

    def __init__(self, settings: LogSettings, process_label: str, pipe_fd: int, *, escape: bool) -> None:
        super().__init__()
        self._settings = settings
        self.process_label = process_label
        self.pipe_fd = pipe_fd
        self._label = f"{process_label}: " if process_label else ""
        self._escape = escape
        self._output: Output
        if settings.file:
            self._output = FileOutput(settings.file)
        else:
            self._output = PipeOutput(pipe_fd) if pipe_fd >= 0 else ConsoleOutput()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record, if its severity is switched on."""
        if not self._wanted(record.levelno):
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a bad format string anywhere must not stop what it tells about
            self.handleError(record)
            return
        stream = STDERR if record.levelno >= logging.WARNING else STDOUT
        self.write(stream, line.encode("utf-8", "backslashreplace"))

    def write(self, stream: int, line: bytes) -> None:
        """Writes a line that is complete, and tells of those that were lost before."""
        lost = self._output.lost
        self._output.write(stream, line)
        if lost and self._output.lost == lost:
            self._output.lost = 0
            text = f"{lost} lines of the log were lost before this one: they could not be written"
            record = logging.LogRecord("tis", logging.WARNING, __file__, 0, text, (), None)
            self._output.write(STDERR, self.format(record).encode())

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, its end included."""
        if self._settings.format == "json":
            return _json_line(record, self.process_label)
        heading = record.getMessage()
        if record.exc_info:
            heading = f"{heading}\n{logging.Formatter().formatException(record.exc_info)}"
        block: str | None = getattr(record, "block", None)
        if block is not None:
            return f"{self._prefix(record)}{self._text(heading) if heading else ''}\n{block}\n"
        return f"{self._prefix(record)}{self._text(heading)}\n"

    def labelled(self, stream: int, line: bytes, label: str, pid: int) -> bytes:
        """A line that a process printed, with its name before it."""
        if self._settings.format != "json":
            return b"[%s] %s\n" % (label.encode(), line)
        fields = {
            "time": _json_time(time.time()),
            "level": "info",
            "pid": pid,
            "process": label,
            "stream": "stderr" if stream == STDERR else "stdout",
            "message": line.decode("utf-8", "backslashreplace"),
        }
        return _json_bytes(fields)

    def close(self) -> None:
        """Closes the file, if there is one."""
        self._output.close()
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


def _json_line(record: logging.LogRecord, label: str) -> str:
    """A record as one JSON object on one line."""
    names = {logging.ERROR: "error", logging.WARNING: "warning", logging.INFO: "info"}
    fields: dict[str, Any] = {
        "time": _json_time(record.created),
        "level": next((name for level, name in names.items() if record.levelno >= level), "verbose"),
        "pid": record.process,
        "file": record.filename,
        "line": record.lineno,
    }
    if label:
        fields["process"] = label
    message = record.getMessage()
    block: str | None = getattr(record, "block", None)
    fields["message"] = message if block is None else f"{message}\n{block}" if message else block
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return _json_bytes(fields).decode()


def _json_bytes(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _json_time(created_s: float) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created_s))}.{int(created_s % 1 * 1_000_000):06d}Z"
