"""Trace settings: a model follows the global ones until it has its own, and contradictions are refused."""

import pytest

from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis.supervisor.trace_settings import DEFAULTS, TraceKeeper, TraceSettings


@pytest.fixture
def told() -> list[m.Message]:
    return []


@pytest.fixture
def keeper(told: list[m.Message]) -> TraceKeeper:
    return TraceKeeper(told.append)


def change(keeper: TraceKeeper, model: str = "", **settings: str | None) -> dict[str, TraceSettings]:
    changes: dict[str, tuple[str, ...] | None] = {
        name: None if value is None else (value,) for name, value in settings.items()
    }
    keeper.change(m.ChangeTrace(1, 1, model, changes))
    return keeper.message().settings


def test_at_first_nothing_is_traced(keeper: TraceKeeper) -> None:
    assert keeper.message().settings == {"": DEFAULTS}
    assert list(DEFAULTS) == ["trace_level", "trace_rate", "trace_count", "log_frequency", "trace_file", "trace_mode"]


def test_a_model_keeps_what_is_its_own_and_follows_the_rest(keeper: TraceKeeper, told: list[m.Message]) -> None:
    change(keeper, "m", trace_rate="3")
    settings = change(keeper, trace_rate="12", trace_count="4")
    assert settings["m"] == DEFAULTS | {"trace_rate": ("3",), "trace_count": ("4",)}
    assert settings[""] == DEFAULTS | {"trace_rate": ("12",), "trace_count": ("4",)}
    assert len(told) == 2


def test_a_model_whose_settings_are_all_cleared_has_none(keeper: TraceKeeper) -> None:
    change(keeper, "m", trace_rate="3", trace_count="1")
    assert "m" in change(keeper, "m", trace_rate=None)
    assert "m" not in change(keeper, "m", trace_count=None)


def test_clearing_a_global_setting_brings_the_default_back(keeper: TraceKeeper) -> None:
    change(keeper, trace_rate="5")
    assert change(keeper, trace_rate=None) == {"": DEFAULTS}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"trace_level": "TIMESTAMPS"}, "Attempting to set invalid trace setting :trace file name is not given"),
        (
            {"trace_level": "TENSORS", "trace_rate": "0"},
            "Attempting to set invalid trace setting :sample rate must be non-zero",
        ),
    ],
)
@pytest.mark.parametrize("model", ["", "m"])
def test_tracing_that_could_not_be_done_is_refused_and_changes_nothing(
    keeper: TraceKeeper, told: list[m.Message], model: str, settings: dict[str, str], text: str
) -> None:
    with pytest.raises(TisError) as raised:
        change(keeper, model, **settings)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARG, text)
    assert keeper.message().settings == {"": DEFAULTS}
    assert told == []
