"""What the commands `tis` and `tritonserver` do. Anything heavy is imported only by the command that needs it."""

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import msgspec

import tis
from tis.cli.parser import HelpRequested, UsageError, parse_flags
from tis.cli.usage import usage


class Command(msgspec.Struct, frozen=True):
    """A word after `tis`: what it is for, and what runs it and gives the exit code."""

    summary: str
    run: Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """The `tis` command; gives the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if not words:
        _print_overview(sys.stderr)
        return 1
    if words[0] in ("--help", "-h", "help"):
        _print_overview(sys.stdout)
        return 0
    command = COMMANDS.get("version" if words[0] == "--version" else words[0])
    if command is None:
        print(f"tis: there is no command '{words[0]}'; `tis --help` shows those there are", file=sys.stderr)
        return 1
    return command.run(words[1:])


def tritonserver(argv: Sequence[str] | None = None) -> int:
    """The `tritonserver` command: `tis serve` under the name that Triton's users know.

    `--help` goes to standard error and fails, as Triton's does.
    """
    return _serve(sys.argv[1:] if argv is None else argv, "tritonserver", help_to=sys.stderr, help_code=1)


def _serve_command(argv: Sequence[str]) -> int:
    return _serve(argv, "tis serve", help_to=sys.stdout, help_code=0, takes_files=True)


def _serve(argv: Sequence[str], program: str, *, help_to: TextIO, help_code: int, takes_files: bool = False) -> int:
    """Runs the server until it is told to stop."""
    try:
        settings = parse_flags(
            argv, program=program, warn=lambda text: print(text, file=sys.stderr), takes_files=takes_files
        )
    except HelpRequested:
        print(usage(program, takes_files=takes_files), file=help_to)
        return help_code
    except UsageError as error:
        if error.with_usage:
            print(usage(program, takes_files=takes_files), file=sys.stderr)
        print(error.message, file=sys.stderr)
        return 1
    from tis.supervisor.serve import run

    return run(settings)


def _check(argv: Sequence[str]) -> int:
    from tis.cli.check_command import check

    return check(argv)


def _models(argv: Sequence[str]) -> int:
    from tis.cli.models_command import models

    return models(argv)


def _config(argv: Sequence[str]) -> int:
    from tis.cli.config_command import config

    return config(argv)


def _placement(argv: Sequence[str]) -> int:
    from tis.cli.placement_command import placement

    return placement(argv)


def _test(argv: Sequence[str]) -> int:
    from tis.cli.test_command import test

    return test(argv)


def _version(argv: Sequence[str]) -> int:
    if argv:
        print(f"tis version: unexpected argument '{argv[0]}'", file=sys.stderr)
        return 1
    print(f"tis {tis.__version__} (behaves as Triton {tis.TRITON_VERSION})")
    return 0


def _print_overview(to: TextIO) -> None:
    print(f"{tis.__doc__}\n\nUsage: tis <command> [options]\n", file=to)
    for name, command in COMMANDS.items():
        print(f"  {name:<10} {command.summary}", file=to)
    print("\n`tis serve --help` shows the server's flags, which are Triton's.", file=to)


COMMANDS: dict[str, Command] = {
    "serve": Command("Serve the models of a repository, or the functions of a file.", _serve_command),
    "check": Command("Say what is wrong with the models of a repository, without serving them.", _check),
    "models": Command("Show the models of a running server.", _models),
    "config": Command("Show the completed config of a model, or turn a config into another form.", _config),
    "placement": Command("Show on which GPU and cores each instance of a repository would run.", _placement),
    "test": Command("Load one model without a server, ask it, and show what it answers.", _test),
    "version": Command("Show this server's version and the Triton version that it behaves as.", _version),
}
