"""A fuzzer of a live server: very many broken requests over HTTP and gRPC, good ones among them, every answer looked at.

    python -m tools.fuzz --requests=1000000 --seed=7

Starts the real server. No process of it may die, every request must get a well-formed answer or see its connection end,
good requests must get their own values; at the end nobody may hold anything of the pool, and the server's memory may not
have grown.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.fuzz.run import fuzz


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says; exit code 1 where it shows a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="broken ones; a fifth of them over gRPC")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--folder", type=Path, help="where to keep models and log; a temporary one unless given")
    given = parser.parse_args(argv)
    print(f"seed       {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tis-fuzz-") as folder:
        report = fuzz(given.requests, given.seed, given.folder or Path(folder), show_progress=True)
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
