"""--trace-config and the flags that it replaces."""

import pytest

from tis.cli import trace_setting
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
        ("--trace-config=level=Tensors", "trace_level", "TENSORS"),
        ("--trace-level=tensors", "trace_level", "TENSORS"),
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


def test_levels_add_up_in_the_order_of_triton() -> None:
    flags = ("--trace-config=level=TENSORS", "--trace-config=level=TIMESTAMPS")
    assert traced(*flags)["trace_level"] == ("TIMESTAMPS", "TENSORS")


def test_in_the_mode_opentelemetry_its_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "70")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "80")
    flags = ("mode=OpenTelemetry", "opentelemetry,resource=a=b", "opentelemetry,bsp_max_queue_size=600",
             "opentelemetry,resource=c=d=e", "opentelemetry,url=http://x:1/y")  # fmt: skip
    settings = traced(*(f"--trace-config={flag}" for flag in flags))
    assert settings.items() - DEFAULTS.items() == {
        ("trace_mode", ("opentelemetry",)),
        ("resource", ("a=b", "c=d=e")),
        ("bsp_max_queue_size", ("600",)),
        ("url", ("http://x:1/y",)),
        ("bsp_schedule_delay", ("70",)),
        ("bsp_max_export_batch_size", ("512",)),
    }


def test_a_batch_of_spans_has_to_fit_into_the_queue() -> None:
    with pytest.raises(UsageError) as raised:
        traced("--trace-config=mode=opentelemetry", "--trace-config=opentelemetry,bsp_max_queue_size=5")
    assert (
        "bsp_max_export_batch_size (512) must be less than or equal to bsp_max_queue_size (5)" in raised.value.message
    )


def test_without_the_packages_that_export_spans_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_setting, "find_spec", lambda _name: None)
    assert traced("--trace-config=mode=triton") == DEFAULTS
    with pytest.raises(UsageError) as raised:
        traced("--trace-config=mode=opentelemetry")
    assert "pip install 'tis[opentelemetry]'" in raised.value.message


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
        ("trace-config=file=x", "--trace-config knows the settings level, rate, count, mode, triton,file,"),
        ("trace-config=triton,rate=1", "--trace-config knows the settings level, rate, count, mode, triton,file,"),
        ("trace-config=loud,url=x", "invalid value for trace mode option: loud"),
        ("trace-config=opentelemetry,file=x", "opentelemetry,url, opentelemetry,resource, opentelemetry,bsp_max_queue"),
        ("trace-config=opentelemetry,resource=x", "--trace-config: a resource is given as <key>=<value>"),
        ("trace-config=opentelemetry,bsp_schedule_delay=0", "Provided option value is out of bound. Got 0"),
    ],
)
def test_what_cannot_be_traced_is_refused_by_name(flag: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        traced(f"--{flag}")
    assert text in raised.value.message
