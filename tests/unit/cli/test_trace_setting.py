"""--trace-config and the flags that it replaces."""

import pytest

from tis.cli.parser import UsageError, parse_flags
from tis.settings import ServerSettings
from tis.supervisor.trace_settings import DEFAULTS, TraceSettings, given


def traced(*flags: str) -> TraceSettings:
    settings: ServerSettings = parse_flags(["--model-repository=/models", *flags])
    return given(settings.trace_config)


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--trace-config=level=TIMESTAMPS", "trace_level", "TIMESTAMPS"),
        ("--trace-config=level=max", "trace_level", "TIMESTAMPS"),
        ("--trace-config=level=off", "trace_level", "OFF"),
        ("--trace-config=rate=5", "trace_rate", "5"),
        ("--trace-config=count=-1", "trace_count", "-1"),
        ("--trace-config=mode=triton", "trace_mode", "triton"),
        ("--trace-config=triton,file=/tmp/a=b,c", "trace_file", "/tmp/a=b,c"),
        ("--trace-config=triton,log-frequency=7", "log_frequency", "7"),
        ("--trace-file=/tmp/x", "trace_file", "/tmp/x"),
        ("--trace-level=true", "trace_level", "TIMESTAMPS"),
        ("--trace-rate=5", "trace_rate", "5"),
        ("--trace-count=6", "trace_count", "6"),
        ("--trace-log-frequency=7", "log_frequency", "7"),
    ],
)
def test_a_flag_sets_its_setting_and_no_other(flag: str, name: str, value: str) -> None:
    assert traced(flag) == DEFAULTS | {name: (value,)}


def test_of_several_the_last_counts_but_an_off_wins() -> None:
    assert traced("--trace-config=rate=5", "--trace-config=rate=6")["trace_rate"] == ("6",)
    for levels in (("OFF", "TIMESTAMPS"), ("TIMESTAMPS", "OFF")):
        assert traced(*(f"--trace-config=level={level}" for level in levels))["trace_level"] == ("OFF",)


def test_the_new_flag_wins_over_those_that_it_replaces() -> None:
    assert traced("--trace-config=rate=5", "--trace-rate=6", "--trace-count=2") == DEFAULTS | {
        "trace_rate": ("5",),
        "trace_count": ("2",),
    }


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("trace-config=level", "--trace-config option format is '<trace mode>,<setting>=<value>'"),
        ("trace-config=,file=x", "--trace-config option format is '<trace mode>,<setting>=<value>'"),
        ("trace-config=level=loud", "invalid value for trace level option: loud"),
        ("trace-config=mode=loud", "invalid value for trace mode option: loud"),
        ("trace-config=rate=x", "Invalid option value. Got x"),
        ("trace-config=rate=-1", "Provided option value is out of bound. Got -1"),
        ("trace-config=count=-2", "Provided option value is out of bound. Got -2"),
        ("trace-config=file=x", "--trace-config knows the settings level, rate, count, mode, triton,file"),
        ("trace-config=triton,rate=1", "--trace-config knows the settings level, rate, count, mode, triton,file"),
        ("trace-level=tensors", "--trace-level=tensors is not supported yet: this server records timestamps"),
        ("trace-config=level=TENSORS", "--trace-config=level=TENSORS is not supported yet: this server records"),
        ("trace-config=mode=opentelemetry", "--trace-config=mode=opentelemetry is not supported yet: this server"),
        ("trace-config=opentelemetry,url=http://x", "=opentelemetry,url=http://x is not supported yet: this server"),
    ],
)
def test_what_cannot_be_traced_is_refused_by_name(flag: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        traced(f"--{flag}")
    assert text in raised.value.message
