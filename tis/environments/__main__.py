"""Prepares one environment in a process of its own, for a supervisor that must not wait; started by it, not by hand.

Standard input says what (JSON); each line of standard output is JSON, too: `say` with progress, at last `done` or `failed`.
"""

import contextlib
import json
import sys
from pathlib import Path

from tis.environments.prepare import prepare
from tis.environments.running import die_with
from tis.environments.wish import Wish
from tis.errors import Code, TisError


def _tell(word: str, value: object) -> None:
    # The one who listens may have gone, and this process is about to.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({word: value}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Do what standard input asks for."""
    die_with(int(sys.argv[1]))
    asked = json.loads(sys.stdin.read())
    try:
        interpreter = prepare(Wish.from_json(asked["wish"]), Path(asked["folder"]), lambda text: _tell("say", text))
    except TisError as error:
        _tell("failed", [error.code.value, error.message])
    except Exception as error:  # noqa: BLE001 - whatever an environment makes of this is a reason not to load a model
        _tell("failed", [Code.INTERNAL.value, f"{type(error).__name__}: {error}"])
    else:
        _tell("done", interpreter.as_json())


if __name__ == "__main__":
    main()
