"""Hostile direct clients on a live server: wild messages, and clients that are killed at random points.

    python -m tools.hostile_direct --messages=10000 --clients=1000 --seed=7

Starts the real server. Afterwards it must serve, by the same processes as before, and nothing of the pool nor a region may
be held.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.hostile_direct.run import attack


def main(argv: Sequence[str] | None = None) -> int:
    """Attack as the command line says; exit code 1 where it shows a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=1000, help="how many processes are killed")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    given = parser.parse_args(argv)
    print(f"seed       {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="th-") as folder:
        report = attack(given.messages, given.clients, given.seed, Path(folder))
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
