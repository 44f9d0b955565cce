"""Which requests of a frontend are traced."""

import asyncio

import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis_frontend.trace import Tracer

ON: dict[str, tuple[str, ...]] = {
    "trace_level": ("TIMESTAMPS",),
    "trace_rate": ("1",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
    "trace_file": ("t.json",),
    "trace_mode": ("triton",),
}


@pytest.fixture
def tracer() -> Tracer:
    return Tracer(lambda _traces: None)


def sampled(tracer: Tracer, times: int, model: str = "m") -> list[int]:
    spec = ModelSpec(model, 1, "", "", 0, (), ())
    return [number for number in range(1, times + 1) if tracer.sample(spec, "HTTP", 0) is not None]


def put(tracer: Tracer, **settings: dict[str, tuple[str, ...]]) -> bool:
    return tracer.replace(m.TraceChanged({name.replace("everywhere", ""): each for name, each in settings.items()}))


def test_every_so_many_requests_one_is_traced(tracer: Tracer) -> None:
    assert put(tracer, everywhere=ON | {"trace_rate": ("3",)})
    assert sampled(tracer, 10) == [3, 6, 9]


@pytest.mark.parametrize(
    "change",
    [
        {"trace_level": ("OFF",)},
        {"trace_count": ("0",)},
        {"trace_file": ("",)},
        {"trace_rate": ("0",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_ask_for_no_traces_need_no_tracer(tracer: Tracer, change: dict[str, tuple[str, ...]]) -> None:
    assert not put(tracer, everywhere=ON | change)
    assert sampled(tracer, 3) == []
    assert put(tracer, everywhere=ON | change, m=ON)
    assert sampled(tracer, 2) == [1, 2]
    assert sampled(tracer, 2, "other") == []


def test_a_count_that_goes_down_does_not_disturb_the_rate(tracer: Tracer) -> None:
    setting = ON | {"trace_rate": ("3",)}
    put(tracer, everywhere=setting | {"trace_count": ("5",)})
    assert sampled(tracer, 2) == []
    put(tracer, everywhere=setting | {"trace_count": ("4",)})
    assert sampled(tracer, 1) == [1]


def test_another_rate_begins_to_count_anew(tracer: Tracer) -> None:
    put(tracer, everywhere=ON | {"trace_rate": ("3",)})
    assert sampled(tracer, 2) == []
    put(tracer, everywhere=ON | {"trace_rate": ("2",)})
    assert sampled(tracer, 2) == [2]


def test_where_spans_are_exported_a_count_ends_with_the_sample_that_uses_it_up(tracer: Tracer) -> None:
    setting = {name: value for name, value in ON.items() if name not in ("trace_file", "log_frequency")}
    setting |= {"trace_mode": ("opentelemetry",), "trace_count": ("2",)}
    told: list[tuple[m.Trace, ...]] = []
    tracer = Tracer(told.append)

    async def ask() -> None:
        assert put(tracer, everywhere=setting)
        assert sampled(tracer, 4) == [1, 2]
        # The supervisor tells of the first before it has heard of the second.
        put(tracer, everywhere=setting | {"trace_count": ("1",)})
        assert sampled(tracer, 2) == []
        put(tracer, everywhere=setting | {"trace_count": ("3",)})
        assert sampled(tracer, 5) == [1, 2, 3]
        tracer.flush()

    asyncio.run(ask())
    assert [len(traces) for traces in told] == [5]
