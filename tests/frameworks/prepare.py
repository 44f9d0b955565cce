"""Makes a subject's models and asks its framework for the answers, in a process of its own.

Frameworks do not share a process with each other, nor with the tests: `python -m tests.frameworks.prepare NAME FOLDER`.
"""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.frameworks.subject import Arrays, Subject
from tests.frameworks.subjects import subject

#: Two models of one form and different weights.
SEEDS: Final = (0, 1)
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prepared:
    """Models and their framework's answers; `models` holds a path for each seed."""

    subject: Subject
    models: tuple[Path, ...]
    inputs: Arrays
    answers: tuple[Arrays, ...]


def prepared(name: str, folder: Path) -> Prepared:
    """Run this file for a subject, and read what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.frameworks.prepare", name, str(folder)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    chosen = subject(name)
    models = tuple(folder / str(seed) / chosen.filename for seed in SEEDS)
    return Prepared(chosen, models, _read(folder / "inputs"), tuple(_read(folder / f"{seed}.answer") for seed in SEEDS))


def _read(path: Path) -> Arrays:
    found: Arrays = pickle.loads(path.read_bytes())
    return found


def _main(name: str, folder: Path) -> None:
    chosen = subject(name)
    inputs = chosen.sampled()
    (folder / "inputs").write_bytes(pickle.dumps(inputs))
    for seed in SEEDS:
        path = folder / str(seed) / chosen.filename
        path.parent.mkdir(parents=True)
        chosen.make(path, seed)
        (folder / f"{seed}.answer").write_bytes(pickle.dumps(chosen.answer(path, inputs)))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
