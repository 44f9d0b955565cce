"""Lines leave whole or not at all, and nobody waits for a console, a disk or a supervisor that takes none."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tis.log import configure, get_logger, pass_on_output
from tis.log_output import FRAME, STDERR, STDOUT, ConsoleOutput, FileOutput, PipeOutput
from tis.settings import LogSettings
from tis.supervisor import output
from tis.supervisor.output import LogReader, PrintReader

logger = get_logger("tis.some.module")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def default_log() -> Iterator[Callable[[LogSettings], None]]:
    yield lambda settings: configure(settings, capture_foreign=False)
    for name in ("tis", "tis_frontend", "tis_workers", "tis_shm"):
        logging.getLogger(name).handlers.clear()


def drained(fd: int) -> bytes:
    found = b""
    try:
        while data := os.read(fd, 1 << 20):
            found += data
    except BlockingIOError:
        pass
    return found


# ---- outputs -----------------------------------------------------------------------------------------------------------


def test_frames_are_put_together_again_however_they_come(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    got: list[tuple[int, bytes]] = []
    monkeypatch.setattr(output, "pass_on", lambda stream, line: got.append((stream, line)))
    sending = PipeOutput(pipe[1])
    lines = [(STDOUT, b"one\n"), (STDERR, b"two\nlines\n"), (STDOUT, "long é".encode() * 900 + b"\n")]
    for stream, line in lines:
        sending.write(stream, line)
    data = drained(pipe[0])
    for size in (1, 3, 7, len(data)):
        got.clear()
        reader = LogReader()
        for start in range(0, len(data), size):
            reader.take(data[start : start + size])
        reader.end()
        assert got == lines


def test_what_a_process_could_not_finish_before_it_died_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[int, bytes]] = []
    monkeypatch.setattr(output, "pass_on", lambda stream, line: got.append((stream, line)))
    reader = LogReader()
    reader.take(FRAME.pack(STDERR, 100) + b"half a li")
    reader.end()
    assert got == [(STDERR, b"half a li\n")]


def test_a_full_pipe_loses_whole_lines_and_blocks_nobody(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    got: list[bytes] = []
    monkeypatch.setattr(output, "pass_on", lambda _stream, line: got.append(line))
    sending = PipeOutput(pipe[1])
    line = b"x" * 9_000 + b"\n"
    for _ in range(100):
        sending.write(STDOUT, line)
    assert 80 < sending.lost < 100
    reader = LogReader()
    reader.take(drained(pipe[0]))
    # The rest of the line that the pipe took a part of comes first.
    sending.write(STDOUT, b"after\n")
    sending.close()
    reader.take(drained(pipe[0]))
    assert set(got) == {line, b"after\n"}
    assert got[-1] == b"after\n"
    assert len(got) - 1 + sending.lost == 100


def test_a_console_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    saved = os.dup(STDOUT)
    os.dup2(pipe[1], STDOUT)
    try:
        console = ConsoleOutput()
        for _ in range(3_000):
            console.write(STDOUT, b"y" * 99 + b"\n")
        assert console.lost > 1_000
        taken = drained(pipe[0])
    finally:
        os.dup2(saved, STDOUT)
        os.close(saved)
    assert set(taken.splitlines()) == {b"y" * 99}
    assert taken.count(b"\n") + console.lost == 3_000


def test_a_full_disk_loses_lines_and_the_next_that_fits_begins_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    room = [5, 0]
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        size = room.pop(0) if room else len(data)
        if not size:
            raise OSError(28, "No space left on device")
        return write(fd, data[:size])

    file = FileOutput(str(tmp_path / "log"))
    monkeypatch.setattr("tis.log_output.os.write", limited)
    for line in (b"torn line\n", b"lost line\n", b"whole line\n"):
        file.write(STDOUT, line)
    file.close()
    assert (tmp_path / "log").read_bytes() == b"torn \nwhole line\n"
    assert file.lost == 2


def test_lost_lines_are_counted_in_the_log_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, default_log: Callable[[LogSettings], None]
) -> None:
    file = tmp_path / "log"
    default_log(LogSettings(file=str(file)))
    write = os.write

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tis.log_output.os.write", full)
    logger.info("one")
    logger.info("two")
    monkeypatch.setattr("tis.log_output.os.write", write)
    logger.info("three")
    logger.info("four")
    texts = [line.partition("] ")[2] for line in file.read_text().splitlines()]
    assert texts[0] == '"three"'
    assert texts[1].startswith('"2 lines of the log were lost')
    assert texts[2:] == ['"four"']


# ---- what is printed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_printed_bytes_become_lines(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    got: list[bytes] = []
    monkeypatch.setattr(output, "pass_on_output", lambda _stream, lines, _label, _pid: got.extend(lines))
    reader = PrintReader(STDOUT, "model_0_0", 7)
    data = b"one\n\ntwo three\nno end"
    for start in range(0, len(data), size):
        reader.take(data[start : start + size])
    assert got == [b"one", b"", b"two three"]
    reader.end()
    assert got[-1] == b"no end"


def test_a_line_without_an_end_is_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []
    monkeypatch.setattr(output, "pass_on_output", lambda _stream, lines, _label, _pid: got.extend(lines))
    reader = PrintReader(STDOUT, "model_0_0", 7)
    for _ in range(100):
        reader.take(b"z" * 1_000)
    reader.end()
    assert b"".join(got) == b"z" * 100_000
    assert max(map(len, got)) <= 16 << 10


@pytest.mark.parametrize(("form", "escaped"), [("default", False), ("ISO8601", False), ("json", True)])
def test_a_printed_line_has_a_name(
    form: str, escaped: bool, capfd: pytest.CaptureFixture[str], default_log: Callable[[LogSettings], None]
) -> None:
    default_log(LogSettings(format=form))  # type: ignore[arg-type]
    pass_on_output(STDERR, [b'a "word"\xff', b""], "model_0_0", 7)
    out, err = capfd.readouterr()
    assert out == ""
    if escaped:
        first, second = [json.loads(line) for line in err.splitlines()]
        assert first.pop("time").endswith("Z")
        assert first == {
            "level": "info",
            "pid": 7,
            "process": "model_0_0",
            "stream": "stderr",
            "message": 'a "word"\\xff',
        }
        assert second["message"] == ""
    else:
        assert err.startswith('[model_0_0] a "word"')
        assert err.endswith("\n[model_0_0] \n")
