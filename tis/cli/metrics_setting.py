"""What follows `--metrics-config`."""

from typing import Final

from tis.cli.values import Reader, ValueRefusedError, boolean, number, spoken

_SWITCHES: Final = ("counter_latencies", "summary_latencies", "histogram_latencies")
_QUANTILES: Final = "summary_quantiles"


def metrics_setting(flag: str, value: str) -> tuple[str, str]:
    """`<setting>=<value>`; a switch becomes `true` or `false`, quantiles stay as they were written."""
    setting, equals, content = value.partition("=")
    if not setting or not equals or "," in setting:
        raise ValueRefusedError(f"--{flag} option format is <setting>=<value>. Got {value}")
    if setting in _SWITCHES:
        return setting, spoken(boolean(flag, content))
    if setting != _QUANTILES:
        known = ", ".join((*_SWITCHES, _QUANTILES))
        raise ValueRefusedError(f"--{flag} knows the settings {known}. Got {setting}")
    for pair in content.split(","):
        quantile, colon, error = pair.partition(":")
        if not colon:
            raise ValueRefusedError(
                f"Invalid option: [{pair}]. No ':' delimiter found. Expected format is <quantile>:<error>"
            )
        if not 0 <= number(flag, quantile) <= 1 or not 0 <= number(flag, error) <= 1:
            raise ValueRefusedError(f"Invalid option: [{pair}]. A quantile and its error lie between 0 and 1")
    return setting, content


METRICS_SETTING: Final = Reader("<string>=<string>", metrics_setting)
