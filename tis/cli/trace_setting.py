"""How `--trace-config` and the flags that it replaces are read: as (mode, setting, value), the mode empty for all modes."""

from typing import Final

from tis.cli.values import INT32_MAX, Reader, ValueRefusedError, integer

Setting = tuple[str, str, str]

_MODE_SETTINGS: Final = ("file", "log-frequency")
_LEVELS: Final = {
    "off": "OFF",
    "false": "OFF",
    "timestamps": "TIMESTAMPS",
    "true": "TIMESTAMPS",
    "on": "TIMESTAMPS",
    "min": "TIMESTAMPS",
    "max": "TIMESTAMPS",
}


def trace_setting(flag: str, text: str) -> Setting:
    """`<setting>=<value>`, or `triton,<setting>=<value>`."""
    head, equals, value = text.partition("=")
    mode, comma, setting = head.partition(",") if "," in head else ("", "", head)
    if not equals or not setting or not value or (comma and not mode):
        raise ValueRefusedError(
            f"--{flag} option format is '<trace mode>,<setting>=<value>' or '<setting>=<value>'. Got {text}"
        )
    if mode == "opentelemetry":
        raise _refused(flag, text, "this server writes traces in Triton's own form only")
    if mode == "triton" and setting in _MODE_SETTINGS:
        return mode, setting, value if setting == "file" else _number(setting, value)
    if mode or setting not in ("level", "rate", "count", "mode"):
        known = ", ".join(("level", "rate", "count", "mode", *(f"triton,{each}" for each in _MODE_SETTINGS)))
        raise ValueRefusedError(f"--{flag} knows the settings {known}. Got {text}")
    if setting == "level":
        return mode, setting, _level(flag, value, text)
    if setting == "mode":
        if value == "opentelemetry":
            raise _refused(flag, text, "this server writes traces in Triton's own form only")
        if value != "triton":
            raise ValueRefusedError(
                f'invalid value for trace mode option: {value}. Available options are "triton" and "opentelemetry"'
            )
        return mode, setting, value
    return mode, setting, _number(setting, value)


def _level(flag: str, value: str, text: str) -> str:
    folded = value.lower()
    if folded == "tensors":
        raise _refused(flag, text, "this server records timestamps, not tensors")
    if folded not in _LEVELS:
        raise ValueRefusedError(f"invalid value for trace level option: {value}")
    return _LEVELS[folded]


def _number(setting: str, value: str) -> str:
    return str(integer(value, -1 if setting == "count" else 0, INT32_MAX))


def _refused(flag: str, text: str, because: str) -> ValueRefusedError:
    return ValueRefusedError(f"--{flag}={text} is not supported yet: {because}.")


def old_flag(setting: str, shape: str = "integer", mode: str = "") -> Reader:
    """A reader of a flag that stands for one setting."""

    def read(flag: str, text: str) -> Setting:
        if setting == "file":
            return mode, setting, text
        return mode, setting, _level(flag, text, text) if setting == "level" else _number(setting, text)

    return Reader(shape, read)


TRACE_SETTING: Final = Reader("<string>,<string>=<string>", trace_setting)
