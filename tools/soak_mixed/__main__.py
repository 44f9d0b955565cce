"""The command line of the mixed soak."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.soak_mixed import run
from tools.soak_mixed.plan import Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Run a mixed soak as the command line says; exit code 1 where it shows a problem."""
    default = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tools.soak_mixed", description=run.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=default.requests)
    parser.add_argument("--frontends", type=int, default=default.frontends)
    parser.add_argument("--clients", type=int, default=default.clients, help="of each kind, of which there are nine")
    parser.add_argument("--kills-every-s", type=float, default=default.kills_every_s, help="on average; 0 for none")
    parser.add_argument("--victims", default="worker", help="comma-separated: worker, frontend")
    parser.add_argument("--cancelled", type=float, default=default.cancelled, help="share of what clients give up")
    parser.add_argument(
        "--reloads-every-s", type=float, default=default.reloads_every_s, help="of touched models, on average"
    )
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--folder", type=Path, help="where to keep models and log; a temporary one unless given")
    given = vars(parser.parse_args(argv))
    folder, victims = given.pop("folder"), tuple(given.pop("victims").split(","))
    plan = Plan(**given, victims=victims)
    print(f"seed       {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tis-soak-") as temporary:
        report = run.soak(plan, folder or Path(temporary), show_progress=True)
    print(report.text())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
