"""Thousands of connections to one server: idle ones, then each with a request, then all of them at once.

    python -m tools.many_connections --connections=10000 --face=http
    python -m tools.many_connections --connections=10000 --face=grpc

Starts the real server with one frontend. Every answer must be right; when the clients have gone, descriptors and memory must
be back. Tells what a connection takes of the frontend's memory.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.many_connections.run import FACES, measure


def main(argv: Sequence[str] | None = None) -> int:
    """Connect as the command line says; exit code 1 where it shows a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--face", choices=sorted(FACES), default="http")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tm-") as folder:
        report = measure(given.face, given.connections, Path(folder))
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
