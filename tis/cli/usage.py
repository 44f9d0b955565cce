"""The text that explains every flag."""

import textwrap
from collections.abc import Iterator

from tis.cli.flag import Flag, Moot, NotYet
from tis.cli.flag_table import GROUPS
from tis.cli.values import spoken

_WIDTH = 72


def usage(program: str, *, takes_files: bool = False) -> str:
    """The whole text, in Triton's layout: groups of flags, each with its kind of value and its explanation."""
    return "\n".join(_lines(f"{program} [FILE.py ...]" if takes_files else program)) + "\n"


def _lines(command: str) -> Iterator[str]:
    yield f"Usage: {command} [options]"
    for group in GROUPS:
        if group.heading:
            yield ""
            yield f"{group.heading}:"
        for flag in group.flags:
            yield _headline(flag)
            yield from (f"\t{line}" for line in textwrap.wrap(_explanation(flag), _WIDTH, break_on_hyphens=False))


def _headline(flag: Flag) -> str:
    return f"  --{flag.name} <{flag.reader.shape}>" if flag.reader else f"  --{flag.name}"


def _explanation(flag: Flag) -> str:
    parts = [flag.help]
    if flag.deprecated_for:
        parts.insert(0, f"DEPRECATED, use {flag.deprecated_for}.")
    if isinstance(flag.action, NotYet):
        accepted = " or ".join(spoken(value) for value in flag.action.accepts)
        parts.append(f"For now only {accepted} is accepted." if accepted else "Not supported yet.")
    elif isinstance(flag.action, Moot):
        parts.append(f"Accepted without effect: {flag.action.because}.")
    elif flag.default:
        parts.append(f"Default: {flag.default}.")
    return " ".join(parts)
