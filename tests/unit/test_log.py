"""Log lines look like Triton's, go where Triton's go, and can be switched by severity."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tis.log import ESCAPE_VARIABLE, change, configure, get_logger, log_block, verbose
from tis.settings import LogSettings

_NAMES = ("tis", "tis_frontend", "tis_workers", "tis_shm", None)


@pytest.fixture(autouse=True)
def loggers_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ESCAPE_VARIABLE, raising=False)
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, propagate, handlers in before:
        for handler in [handler for handler in logger.handlers if handler not in handlers]:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


logger = get_logger("tis.some.module")


def at(created: float, message: str) -> None:
    """Logs as information at a given time."""
    record = logger.makeRecord(logger.name, logging.INFO, "/src/tis/file.py", 12, message, (), None)
    record.created = created
    record.process = 1234
    logger.handle(record)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (LogSettings(), 'I1120 10:15:15.123456 1234 file.py:12] "some \\"text\\"\\nmore é"\n'),
        (LogSettings(format="ISO8601"), '2026-11-20T10:15:15Z I 1234 file.py:12] "some \\"text\\"\\nmore é"\n'),
    ],
)
def test_a_line_has_tritons_form(settings: LogSettings, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    configure(settings)
    at(1795169715.1234565, 'some "text"\nmore é')
    assert capfd.readouterr() == (line, "")


def test_the_text_is_left_alone_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ESCAPE_VARIABLE, "0")
    configure(LogSettings())
    logger.info('some "text"\tmore')
    assert capfd.readouterr().out.endswith('] some "text"\tmore\n')


def test_a_line_names_the_file_the_line_and_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    logger.info("here")
    assert re.fullmatch(rf'I\d{{4}} [\d:.]{{15}} {os.getpid()} test_log\.py:\d+\] "here"\n', capfd.readouterr().out)


def test_information_goes_to_standard_output_and_the_rest_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(verbose=1))
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    out, err = capfd.readouterr()
    assert [line[0] for line in out.splitlines()] == ["I", "I"]
    assert [line[0] for line in err.splitlines()] == ["W", "E"]


LEVELS: dict[str, Callable[[str], None]] = {
    "verbose 1": logger.debug,
    "info": logger.info,
    "warning": logger.warning,
    "error": logger.error,
}


@pytest.mark.parametrize(
    ("settings", "logged"),
    [
        (LogSettings(), {"info", "warning", "error"}),
        (LogSettings(info=False), {"warning", "error"}),
        (LogSettings(warning=False), {"info", "error"}),
        (LogSettings(error=False), {"info", "warning"}),
        (LogSettings(info=False, warning=False), {"error"}),
        (LogSettings(info=False, error=False), {"warning"}),
        (LogSettings(info=False, warning=False, error=False), set[str]()),
        (LogSettings(verbose=1, info=False), {"verbose 1", "warning", "error"}),
        (LogSettings(verbose=1), {"verbose 1", "info", "warning", "error"}),
    ],
)
def test_each_severity_is_switched_on_its_own(
    settings: LogSettings, logged: set[str], capfd: pytest.CaptureFixture[str]
) -> None:
    configure(settings)
    for name, log in LEVELS.items():
        log(name)
    lines = "".join(capfd.readouterr()).splitlines()
    assert {json.loads(line.partition("] ")[2]) for line in lines} == logged


@pytest.mark.parametrize("level", [0, 1, 2, 5])
def test_verbose_levels_up_to_the_set_one_are_logged(level: int, capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(verbose=level))
    for depth in (1, 2, 3, 4, 5, 6):
        logger.log(verbose(depth), "%d", depth)
    assert len(capfd.readouterr().out.splitlines()) == level


def test_a_disabled_call_makes_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(LogSettings())
    monkeypatch.setattr(logger, "makeRecord", None)
    logger.debug("nothing")
    assert not logger.isEnabledFor(verbose(1))


def test_settings_can_change_while_the_server_runs(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(info=False))
    logger.info("before")
    configure(LogSettings())
    logger.info("after")
    assert capfd.readouterr().out.endswith('] "after"\n')
    assert capfd.readouterr() == ("", "")


def test_processes_share_a_file_by_appending(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    configure(LogSettings(file=str(path)))
    logger.error("ours")
    with path.open("a") as other:
        other.write("theirs\n")
    logger.info("ours again")
    words = [line.rpartition("] ")[2] for line in path.read_text().splitlines()]
    assert words == ["old", '"ours"', "theirs", '"ours again"']
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_opened_leaves_the_log_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings())
    with pytest.raises(FileNotFoundError):
        configure(LogSettings(file=str(tmp_path / "missing" / "log")))
    logger.info("still here")
    assert capfd.readouterr().out.endswith('] "still here"\n')


def test_a_changed_log_leaves_no_file_open(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts, not paths

    before = open_files()
    for _ in range(3):
        configure(LogSettings(file=str(tmp_path / "log")))
    configure(LogSettings())
    assert open_files() == before


def test_a_process_can_be_told_apart_by_its_label(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(), "worker simple_0")
    logger.info("ready")
    assert capfd.readouterr().out.endswith('] "worker simple_0: ready"\n')


def test_a_table_stands_on_lines_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    log_block(logger, "", "+---+\n| a |\n+---+\n")
    out = capfd.readouterr().out
    assert re.fullmatch(r"I.* test_log\.py:\d+\] \n\+---\+\n\| a \|\n\+---\+\n\n", out)


def test_an_exception_stays_within_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        logger.exception("failed")
    (line,) = capfd.readouterr().err.splitlines()
    text = json.loads(line.partition("] ")[2])
    assert text.startswith("failed\nTraceback ")
    assert text.endswith("ValueError: bad\nthing")


def test_text_that_is_no_unicode_is_logged_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings())
    logger.info("name \udcff")
    assert capfd.readouterr().out.endswith('] "name \\udcff"\n')


def test_a_main_module_logs_as_one_of_ours() -> None:
    assert get_logger("__main__").name == "tis.__main__"
    assert get_logger("tis_frontend.http").name == "tis_frontend.http"


@pytest.mark.parametrize("captured", [True, False])
def test_a_library_is_heard_unless_the_root_belongs_to_the_model(
    captured: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(), capture_foreign=captured)
    root = logging.getLogger()
    ours = [handler for handler in root.handlers if type(handler).__module__ == "tis.log"]
    assert bool(ours) == captured
    logging.getLogger("library").warning("careful")
    assert capfd.readouterr().err.endswith('] "careful"\n') == captured


def test_a_console_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_target: int, _line: bytes) -> int:
        raise BrokenPipeError

    configure(LogSettings())
    monkeypatch.setattr("tis.log.os.write", write)
    logger.info("nobody reads this")


@pytest.mark.parametrize("capture_foreign", [True, False])
def test_a_change_keeps_the_label_and_whose_messages_are_taken(
    capture_foreign: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(), "worker", capture_foreign=capture_foreign)
    taken = len(logging.getLogger().handlers)
    change(LogSettings(info=False, verbose=1, format="ISO8601"))
    logger.info("not wanted any more")
    logger.debug("detail")
    printed = capfd.readouterr().out
    assert re.fullmatch(r'\S+Z I \d+ test_log.py:\d+\] "worker: detail"\n', printed)
    assert len(logging.getLogger().handlers) == taken


def test_a_log_that_was_never_set_up_is_not_changed() -> None:
    for name in _NAMES:
        logging.getLogger(name).handlers.clear()
    change(LogSettings(verbose=1))
    assert not logging.getLogger("tis").handlers
