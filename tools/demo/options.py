"""The command line of `tools/run`. Only the standard library, so that `--help` answers before anything is installed."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

_DESCRIPTION = """\
Serve the example models in model_repository/, read the words on a picture with NVIDIA's client, show the answer, and go on
serving until Ctrl+C. The first start makes the environment in .venv.
"""
_EPILOG = """\
Every other flag goes to the server as it is, such as --http-port=8010; `tis serve --help` shows them all.
"""


@dataclass(frozen=True)
class Options:
    """The command line, understood."""

    once: bool
    server_flags: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Options:
    """Split the command line into what is meant for `tools/run` and what for the server; all after `--` is the latter."""
    parser = argparse.ArgumentParser(
        "tools/run",
        usage="tools/run [--once] [--help] [FLAG OF THE SERVER ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--once", action="store_true", help="stop the server after the answer")
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    given, rest = parser.parse_known_args(words[:at])
    return Options(once=given.once, server_flags=(*rest, *words[at + 1 :]))
