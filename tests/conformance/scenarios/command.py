"""What `tools/conformance scenarios` does."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.conformance.scenarios import SERVERS, all_scenarios
from tests.conformance.scenarios.differences import DIFFERENCES
from tests.conformance.scenarios.playing import MANY_MODELS_S, play, record, recorded, write_models
from tests.conformance.scenarios.scenario import Scenario
from tests.conformance.servers import Kind, reference
from tests.harness.server import HOST, Server

_PORT: Final = 9600


def main(arguments: Sequence[str]) -> int:
    """Record the reference, or compare this server with what is recorded; gives the exit code."""
    parser = argparse.ArgumentParser(prog="tools/conformance scenarios")
    parser.add_argument("names", nargs="*", help="beginnings of names; all scenarios unless given")
    parser.add_argument("--record", action="store_true", help="keep what the reference does")
    parser.add_argument("--reference", type=Path, help="a program that takes tritonserver's flags")
    parser.add_argument("--port", type=int, default=_PORT)
    options = parser.parse_args(arguments)
    scenarios = {
        name: each
        for name, each in all_scenarios().items()
        if not options.names or any(name.startswith(wanted) for wanted in options.names)
    }
    theirs = recorded()
    if options.reference is not None:
        theirs |= _played(scenarios, options.reference, options.port)
        if options.record:
            # In the order of the scenarios, and without those that are no more.
            record({name: theirs[name] for name in all_scenarios() if name in theirs})
            return 0
    elif options.record:
        parser.error("--record needs --reference")
    return _compare(theirs, _played(scenarios, None, 0))


def _compare(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> int:
    differing = 0
    for name, outcome in ours.items():
        if theirs.get(name) == outcome:
            continue
        differing += name not in DIFFERENCES
        print(f"{name}    {DIFFERENCES.get(name, '')}")
        for who, each in (("reference", theirs.get(name)), ("this     ", outcome)):
            print(f"  {who}: {json.dumps(each, sort_keys=True)}")
    print(f"{differing} of {len(ours)} scenarios differ and are not listed", file=sys.stderr)
    return int(differing > 0)


def _played(scenarios: Mapping[str, Scenario], program: Path | None, port: int) -> dict[str, Any]:
    """The outcomes of one of the two servers."""
    outcomes: dict[str, Any] = {}
    for kind, (models, flags) in SERVERS.items():
        wanted = {name: each for name, each in scenarios.items() if each.server == kind}
        if not wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="tis-scenarios-") as place:
            repository, folder = Path(place) / "models", Path(place) / "notes"
            write_models(kind, repository, folder)
            if program is not None:
                with reference(program, repository, Kind(tuple(models), flags), port, Path(place) / "log"):
                    outcomes |= play(wanted, HOST, (port + 1, port + 2), folder)
                continue
            server = Server(repository, *flags, "--metrics-port=0", log=Path(place) / "log")
            try:
                server.launch().wait_started(MANY_MODELS_S)
                server.wait_ready()
                outcomes |= play(wanted, HOST, (server.grpc_port, server.metrics_port), folder)
            finally:
                server.close()
    return outcomes
