"""`tis check`: what is wrong with repositories, all of it at once, without serving them."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tis.cli.local_bench import LocalBench, with_bench_arguments
from tis.repository.inspection import Finding, Inspection, inspect

_WIDTH: Final = 110


def check(argv: Sequence[str]) -> int:
    """Print every finding; 1 where there is an error, 0 where there are warnings at most."""
    arguments = _arguments(argv)
    complete = not arguments.disable_auto_complete_config
    missing = [str(path) for path in arguments.repositories if not path.is_dir()]
    if missing:
        print(f"tis check: no such directory: {', '.join(missing)}", file=sys.stderr)
        return 1
    bench = LocalBench.of(arguments, auto_complete=complete)
    inspection = inspect(arguments.repositories, bench, auto_complete=complete, config_name=arguments.model_config_name)
    errors = inspection.count("error")
    print(_as_json(inspection) if arguments.json else _as_text(inspection, loads=arguments.load), end="")
    return 1 if errors else 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tis check",
        description="Checks the models of repositories by the rules of the server, without serving them. "
        "Several repositories are checked as one server would serve them together.",
    )
    parser.add_argument("repositories", nargs="+", type=Path, metavar="REPO", help="a model repository")
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.add_argument(
        "--load",
        action="store_true",
        help="read the model files, each in a process of its own, to complete and compare configs; needs the backends",
    )
    with_bench_arguments(parser)
    parser.add_argument("--disable-auto-complete-config", action="store_true", help="as with this flag of the server")
    parser.add_argument("--model-config-name", default="", metavar="NAME", help="as with this flag of the server")
    return parser.parse_args(argv)


def _as_json(inspection: Inspection) -> str:
    document = {
        "models": inspection.models,
        "errors": [finding for finding in inspection.findings if finding.severity == "error"],
        "warnings": [finding for finding in inspection.findings if finding.severity == "warning"],
        "completed_from_file": inspection.incomplete,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _as_text(inspection: Inspection, *, loads: bool) -> str:
    """Errors, then warnings, each with the place first, as compilers have it; then a summary."""
    lines: list[str] = []
    for severity in ("error", "warning"):
        for finding in inspection.findings:
            if finding.severity == severity:
                lines += _lines(finding)
    if lines:
        lines.append("")
    if inspection.incomplete:
        names = ", ".join(inspection.incomplete)
        why = "because of the errors" if loads else "`--load` reads them"
        lines.append(f"completed from model files, which were not read ({why}): {names}")
    models, errors, warnings = len(inspection.models), inspection.count("error"), inspection.count("warning")
    lines.append(f"{_counted(models, 'model')}, {_counted(errors, 'error')}, {_counted(warnings, 'warning')}")
    return "\n".join(lines) + "\n"


def _lines(finding: Finding) -> list[str]:
    place = finding.file
    if finding.line:
        place += f":{finding.line}:{finding.column}"
    who = f"{finding.model}" + (f" version {finding.version}" if finding.version else "")
    head = ": ".join(part for part in (place, finding.severity, who, finding.message) if part)
    lines = [head]
    if finding.severity == "error" and finding.field:
        lines.append(f"    field     {finding.field}")
        if finding.expected:
            lines.append(f"    expected  {textwrap.shorten(finding.expected, _WIDTH, placeholder=' …')}")
        lines.append(f"    given     {finding.given or 'nothing'}")
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
