"""How `--trace-config` and the flags that it replaces are read: as (mode, setting, value), the mode empty for all modes."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from tis.cli.values import INT32_MAX, Reader, ValueRefusedError, integer

Setting = tuple[str, str, str]

#: What the spans of OpenTelemetry are gathered by before they leave, and Triton's values.
_BATCHES: Final = {
    "bsp_max_queue_size": "2048",
    "bsp_schedule_delay": "5000",
    "bsp_max_export_batch_size": "512",
}
#: Settings by the mode that they belong to; without one those of all modes.
_SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "": ("level", "rate", "count", "mode"),
    "triton": ("file", "log-frequency"),
    "opentelemetry": ("url", "resource", *_BATCHES),
}
_TEXTS: Final = ("file", "url", "resource")
#: Lowest values of settings that are numbers, where it is not 0.
_LOWEST: Final = {"count": -1, **dict.fromkeys(_BATCHES, 1)}
_LEVELS: Final = {
    "off": "OFF",
    "false": "OFF",
    "timestamps": "TIMESTAMPS",
    "true": "TIMESTAMPS",
    "on": "TIMESTAMPS",
    "min": "TIMESTAMPS",
    "max": "TIMESTAMPS",
    "tensors": "TENSORS",
}


def trace_setting(flag: str, text: str) -> Setting:
    """`<setting>=<value>`, or `<mode>,<setting>=<value>`."""
    head, equals, value = text.partition("=")
    mode, comma, setting = head.partition(",") if "," in head else ("", "", head)
    if not equals or not setting or not value or (comma and not mode):
        raise ValueRefusedError(
            f"--{flag} option format is '<trace mode>,<setting>=<value>' or '<setting>=<value>'. Got {text}"
        )
    mode = _mode(mode) if mode else ""
    if setting not in _SETTINGS[mode]:
        known = ", ".join(f"{mode},{name}" if mode else name for mode, names in _SETTINGS.items() for name in names)
        raise ValueRefusedError(f"--{flag} knows the settings {known}. Got {text}")
    if setting == "level":
        return mode, setting, _level(value)
    if setting == "mode":
        return mode, setting, _mode(value)
    if setting == "resource" and not all(value.partition("=")):
        raise ValueRefusedError(f"--{flag}: a resource is given as <key>=<value>. Got {text}")
    return mode, setting, value if setting in _TEXTS else _number(setting, value)


def _mode(value: str) -> str:
    folded = value.lower()
    if folded not in ("triton", "opentelemetry"):
        raise ValueRefusedError(
            f'invalid value for trace mode option: {value}. Available options are "triton" and "opentelemetry"'
        )
    return folded


def _level(value: str) -> str:
    folded = value.lower()
    if folded not in _LEVELS:
        raise ValueRefusedError(f"invalid value for trace level option: {value}")
    return _LEVELS[folded]


def _number(setting: str, value: str) -> str:
    return str(integer(value, _LOWEST.get(setting, 0), INT32_MAX))


def with_span_settings(settings: tuple[Setting, ...], environment: Mapping[str, str]) -> tuple[Setting, ...]:
    """The settings, and for those of the exporting of spans that nobody gave what the environment says or Triton has.

    Raises:
        ValueRefusedError: they contradict each other, or what exports spans is not installed.
    """
    mode = "opentelemetry"
    if [value for _, setting, value in settings if setting == "mode"][-1:] != [mode]:
        return settings
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueRefusedError(
            "--trace-config=mode=opentelemetry needs packages that are not installed: the extra `opentelemetry`, as in "
            "pip install 'tis[opentelemetry]'"
        )
    given = {setting for each, setting, _ in settings if each == mode}
    for setting, default in _BATCHES.items():
        if setting not in given:
            text = environment.get(f"OTEL_{setting.upper()}") or default
            settings = (*settings, (mode, setting, _number(setting, text)))
    numbers = {setting: int(value) for each, setting, value in settings if each == mode and setting in _BATCHES}
    if numbers["bsp_max_export_batch_size"] > numbers["bsp_max_queue_size"]:
        raise ValueRefusedError(
            f"bsp_max_export_batch_size ({numbers['bsp_max_export_batch_size']}) must be less than or equal to "
            f"bsp_max_queue_size ({numbers['bsp_max_queue_size']})"
        )
    return settings


def old_flag(setting: str, shape: str = "integer", mode: str = "") -> Reader:
    """A reader of a flag that stands for one setting."""

    def read(_flag: str, text: str) -> Setting:
        if setting == "file":
            return mode, setting, text
        return mode, setting, _level(text) if setting == "level" else _number(setting, text)

    return Reader(shape, read)


TRACE_SETTING: Final = Reader("<string>,<string>=<string>", trace_setting)
