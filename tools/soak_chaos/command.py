"""The command line of the chaos run."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.soak_chaos import run
from tools.soak_chaos.plan import DEATHS, EXPLICIT, POLL, TROUBLES, Plan

#: Of the time, the share with models that are loaded by calls.
_EXPLICIT_SHARE = 2 / 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run it as the command line says; exit code 1 where it shows a problem."""
    default = Plan()
    parser = argparse.ArgumentParser(
        prog="tools/chaos", description=run.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of chaos (%(default)g)")
    parser.add_argument("--modes", default=f"{EXPLICIT},{POLL}", help="comma-separated, of model control (%(default)s)")
    parser.add_argument("--deaths", default=",".join(DEATHS), help="comma-separated; more than once for more often")
    parser.add_argument("--troubles", default=",".join(TROUBLES), help="the same")
    parser.add_argument("--frontends", type=int, default=default.frontends)
    parser.add_argument("--clients", type=int, default=default.clients, help="how many times the clients, which are 14")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--plot", type=Path, help="draw it to this PNG file (needs the extra `plot`)")
    parser.add_argument("--folder", type=Path, help="where to keep models and logs; a temporary one unless given")
    given = parser.parse_args(argv)
    shares = {EXPLICIT: _EXPLICIT_SHARE, POLL: 1 - _EXPLICIT_SHARE}
    modes = tuple(given.modes.split(","))
    whole = sum(shares[mode] for mode in modes)
    plan = Plan(
        seconds=tuple((mode, given.minutes * 60 * shares[mode] / whole) for mode in modes),
        frontends=given.frontends,
        clients=given.clients,
        deaths=_listed(given.deaths),
        troubles=_listed(given.troubles),
        seed=given.seed,
    )
    print(f"seed       {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tis-chaos-") as temporary:
        report = run.chaos(plan, given.folder or Path(temporary), show_progress=True)
    print(report.text())
    if given.plot:
        from tools.soak_chaos.plot import draw

        draw(report, given.plot)
    return 1 if report.problems else 0


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each)


if __name__ == "__main__":
    sys.exit(main())
