"""Environments are made ready beside the loop: it is told the outcome once, or nothing where it was cancelled."""

from pathlib import Path

import pytest

from tis.environments.interpreter import Interpreter
from tis.environments.wish import Wish
from tis.errors import Code, TisError
from tis.supervisor.environments import Environments
from tis.supervisor.loop import Loop

Outcome = tuple[Interpreter | None, TisError | None]


def outcomes(wish: Wish, folder: Path, *, cancels: bool = False) -> list[Outcome]:
    """What is told until nothing more can come."""
    loop = Loop()
    told: list[Outcome] = []

    def prepared(interpreter: Interpreter | None, error: TisError | None) -> None:
        told.append((interpreter, error))
        loop.stop()

    cancel = Environments(loop, folder).prepare(wish, prepared)
    if cancels:
        cancel()
        loop.later(1.0, loop.stop)
    else:
        loop.later(60.0, loop.stop)
    loop.run(lambda: None)
    cancel()
    loop.close()
    return told


def test_what_cannot_be_had_is_told_once_with_code_and_text(tmp_path: Path) -> None:
    ((interpreter, error),) = outcomes(Wish("m", environment="/nowhere"), tmp_path)
    assert interpreter is None
    assert error is not None
    assert (error.code, error.message) == (Code.INTERNAL, "Failed to get the canonical path for /nowhere.")


def test_nothing_is_told_to_who_has_cancelled(tmp_path: Path) -> None:
    assert outcomes(Wish("m", environment="/nowhere"), tmp_path, cancels=True) == []


@pytest.mark.parametrize("text", ["import os\nos._exit(7)\n"])
def test_a_process_that_dies_is_a_reason_too(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tis").mkdir()
    for name in ("__init__.py", "environments.py"):
        (tmp_path / "tis" / name).write_text(text if name == "environments.py" else "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ((_, error),) = outcomes(Wish("m", environment="/nowhere"), tmp_path)
    assert error is not None
    assert error.message == "the process that made the Python environment of model 'm' exited with code 7"
