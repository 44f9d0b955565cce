"""From the command line to the settings, by the rules of getopt_long and in Triton's words.

`--flag=value` or `--flag value`; any beginning of a name that no other flag shares; `--` ends the flags. Flags are
taken in their order and the first mistake is the one that is told.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tis.cli.flag import Append, Flag, Help, Mark, Moot, NotYet, Store
from tis.cli.flag_table import FLAGS
from tis.cli.restriction import named_twice
from tis.cli.trace_setting import Setting, with_span_settings
from tis.cli.values import ValueRefusedError, spoken
from tis.settings import ServerSettings


class UsageError(Exception):
    """The command line is wrong; the text says how."""

    def __init__(self, message: str, *, with_usage: bool = True) -> None:
        super().__init__(message)
        self.message = message
        #: Whether the usage belongs before the text.
        self.with_usage = with_usage


class HelpRequested(Exception):  # noqa: N818 - no error: the operator asks for the usage
    """`--help` was given."""


def _no_warning(_text: str) -> None:
    """Warnings go nowhere."""


def parse_flags(
    argv: Sequence[str],
    *,
    program: str = "tritonserver",
    warn: Callable[[str], None] = _no_warning,
    takes_files: bool = False,
) -> ServerSettings:
    """The settings that the flags ask for; `argv` does not begin with the program.

    With `takes_files`, an argument that ends in `.py` and belongs to no flag is a file whose functions are to be served.

    Raises:
        UsageError: a flag is unknown, not supported yet or has a bad value, or flags contradict each other.
        HelpRequested: `--help` came before any mistake.
    """
    draft: dict[str, Any] = {}
    stray: list[str] = []
    for flag, value in _flags(argv, program, stray):
        if flag.deprecated_for:
            warn(f"Warning: '--{flag.name}' has been deprecated! Please use '{flag.deprecated_for}' instead.")
        try:
            _act(flag, value, draft, warn)
        except ValueRefusedError as refusal:
            raise UsageError(f'Bad option: "--{flag.name}".\n{refusal}') from None
    files = tuple(dict.fromkeys(word for word in stray if takes_files and word.endswith(".py")))
    for word in stray:
        if word not in files:
            raise UsageError(f"Unexpected argument: {word}")
    if files:
        draft["apps"] = files
    return _settled(draft, warn)


def _flags(argv: Sequence[str], program: str, stray: list[str]) -> Iterator[tuple[Flag, str]]:
    """Each flag with its value, in order; arguments that belong to no flag are added to `stray`."""
    words = iter(argv)
    for word in words:
        if word == "--":
            stray.extend(words)
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flag = _named(name, word, program)
            if flag.reader is None:
                if equals:
                    raise UsageError(f"{program}: option '--{flag.name}' doesn't allow an argument")
            elif not equals:
                following = next(words, None)
                if following is None:
                    raise UsageError(f"{program}: option '--{flag.name}' requires an argument")
                value = following
            yield flag, value
        elif word.startswith("-") and word != "-":
            raise UsageError(f"{program}: invalid option -- '{word[1]}'")
        else:
            stray.append(word)


def _named(name: str, word: str, program: str) -> Flag:
    """The flag of that name, or the only one that begins so.

    Triton's own flags come first: an abbreviation that is good there stays good, whatever flags we add.
    """
    if name in FLAGS:
        return FLAGS[name]
    alike = [flag for flag in FLAGS.values() if flag.name.startswith(name)]
    alike = [flag for flag in alike if flag.in_triton_2_51] or alike
    if not alike:
        raise UsageError(f"{program}: unrecognized option '{word}'")
    if len(alike) > 1:
        candidates = " ".join(f"'--{flag.name}'" for flag in alike)
        raise UsageError(f"{program}: option '{word}' is ambiguous; possibilities: {candidates}")
    return alike[0]


def _act(flag: Flag, value: str, draft: dict[str, Any], warn: Callable[[str], None]) -> None:
    """What one flag does to the draft of the settings."""
    match flag.action:
        case Store(field, reader):
            draft[field] = reader.read(flag.name, value)
        case Append(field, reader, unique):
            item = reader.read(flag.name, value)
            before = draft.get(field, ())
            if not (unique and item in before):
                draft[field] = (*before, item)
        case Mark(field):
            draft[field] = True
        case Help():
            raise HelpRequested
        case Moot(reader, because):
            reader.read(flag.name, value)
            warn(f"Warning: '--{flag.name}' has no effect here: {because}.")
        case NotYet(reader, because, accepts):
            if reader.read(flag.name, value) not in accepts:
                raise ValueRefusedError(_refusal(flag.name, value, because, accepts))


def _refusal(name: str, value: str, because: str, accepts: tuple[object, ...]) -> str:
    shown = " or ".join(f"--{name}={spoken(accepted)}" for accepted in accepts)
    return f"--{name}={value} is not supported yet: {because}." + (f" It accepts {shown}." if shown else "")


def _settled(draft: dict[str, Any], warn: Callable[[str], None]) -> ServerSettings:
    """The settings, once the flags agree with each other."""
    strict = draft.pop("strict_model_config", None)
    disabled = draft.pop("disable_auto_complete_config", False)
    if disabled and strict is False:
        warn(
            "Warning: Overriding deprecated '--strict-model-config' from False to True in favor of "
            "'--disable-auto-complete-config'!"
        )
    if old := draft.pop("old_trace_config", ()):
        draft["trace_config"] = _with_old_trace(old, draft.get("trace_config", ()))
    if size_bytes := draft.pop("response_cache_bytes", 0):
        if "cache_config" in draft:
            raise UsageError(
                "Error: Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide one "
                "or the other."
            )
        draft["cache_config"] = (("local", "size", str(size_bytes)),)
    try:
        draft["trace_config"] = with_span_settings(draft.get("trace_config", ()), os.environ)
    except ValueRefusedError as error:
        raise UsageError(f'Bad option: "--trace-config".\n{error}') from None
    settings = ServerSettings(**draft, auto_complete_config=not (disabled or strict))
    _refuse_startup_models(settings)
    _refuse_shared_port(settings)
    _refuse_restriction_twice(settings)
    if not (settings.model_repositories or settings.apps):
        raise UsageError(
            "error: creating server: Invalid argument - --model-repository must be specified", with_usage=False
        )
    if "*" in settings.startup_models and len(settings.startup_models) > 1:
        raise UsageError(
            "error: creating server: Invalid argument - Wildcard model name '*' must be the ONLY startup model if specified "
            "at all.",
            with_usage=False,
        )
    return settings


def _refuse_startup_models(settings: ServerSettings) -> None:
    if settings.startup_models and settings.model_control_mode != "explicit":
        raise UsageError("Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.")


def _with_old_trace(old: Sequence[Setting], new: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """What the old flags say, where the new one says nothing of it."""
    said = {setting for _, setting, _ in new}
    return (*(each for each in old if each[1] not in said), *new)


def _refuse_restriction_twice(settings: ServerSettings) -> None:
    """Only one header can open a part of an interface."""
    groups = (
        ("http-restricted-api", "api", settings.http_restricted_apis),
        ("grpc-restricted-protocol", "protocol", settings.grpc_restricted_protocols),
    )
    for flag, what, restrictions in groups:
        if category := named_twice(restrictions):
            raise UsageError(
                f"Bad option: \"--{flag}\".\nrestricted {what} '{category}' can not be specified in multiple config groups"
            )


def _refuse_shared_port(settings: ServerSettings) -> None:
    """Port 0 asks for any free port, so two services may both ask for it."""
    services = [
        ("HTTP", settings.allow_http, settings.http_address, settings.http_port),
        ("GRPC", settings.allow_grpc, settings.grpc_address, settings.grpc_port),
        ("metrics", settings.allow_metrics, settings.metrics_host, settings.metrics_port),
    ]
    seen: dict[tuple[str, int], str] = {}
    for service, allowed, address, port in services:
        if not allowed or not port:
            continue
        other = seen.setdefault((address, port), service)
        if other != service:
            raise UsageError(
                f"The server cannot listen to {other} requests and {service} requests at the same address and port "
                f"{address}:{port}"
            )
