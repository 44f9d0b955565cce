"""Trace settings: a model follows the global ones until it has its own, and contradictions are refused."""

import json
from pathlib import Path

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


# ---- traces that are kept --------------------------------------------------------------------------------------------


def trace(client_id: str, setting: str = "") -> m.Trace:
    return m.Trace(setting, "m", 1, client_id, (("HTTP_RECV_START", 5),), (("REQUEST_START", 6),))


def pieces(number: int, client_id: str) -> list[dict[str, object]]:
    return [
        {"id": number, "timestamps": [{"name": "HTTP_RECV_START", "ns": 5}]},
        {"id": number, "model_name": "m", "model_version": 1, "request_id": client_id},
        {"id": number, "timestamps": [{"name": "REQUEST_START", "ns": 6}]},
    ]


def tracing(told: list[m.Message], file: Path, **settings: str) -> TraceKeeper:
    on = {"trace_level": ("TIMESTAMPS",), "trace_file": (str(file),)}
    return TraceKeeper(told.append, DEFAULTS | on | {name: (value,) for name, value in settings.items()})


def test_one_file_holds_everything_until_the_end(told: list[m.Message], tmp_path: Path) -> None:
    keeper = tracing(told, tmp_path / "t")
    keeper.collect(m.Traces(1, (trace("a"), trace("b"))))
    keeper.collect(m.Traces(2, (trace("c"),)))
    keeper.close()
    assert json.loads((tmp_path / "t").read_text()) == pieces(1, "a") + pieces(2, "b") + pieces(3, "c")
    assert told == []


def test_a_count_is_exact_over_all_frontends_and_shown_as_what_is_left(told: list[m.Message], tmp_path: Path) -> None:
    keeper = tracing(told, tmp_path / "t", trace_count="2")
    keeper.collect(m.Traces(1, (trace("a"),)))
    assert keeper.message().settings[""]["trace_count"] == ("1",)
    keeper.collect(m.Traces(2, (trace("b"), trace("c"))))
    assert json.loads((tmp_path / "t.0").read_text()) == pieces(1, "a") + pieces(2, "b")
    assert told[-1] == m.TraceChanged({"": DEFAULTS | keeper.message().settings[""] | {"trace_count": ("0",)}})
    change(keeper, trace_count="1")
    keeper.collect(m.Traces(1, (trace("d"),)))
    assert json.loads((tmp_path / "t.1").read_text()) == pieces(3, "d")


def test_a_count_that_is_not_reached_ends_in_the_file_without_a_number(told: list[m.Message], tmp_path: Path) -> None:
    keeper = tracing(told, tmp_path / "t", trace_count="5")
    keeper.collect(m.Traces(1, (trace("a"),)))
    assert not list(tmp_path.iterdir())
    keeper.close()
    assert [each.name for each in tmp_path.iterdir()] == ["t"]


def test_traces_of_a_setting_that_is_off_by_now_are_dropped(told: list[m.Message], tmp_path: Path) -> None:
    keeper = tracing(told, tmp_path / "t")
    change(keeper, trace_level="OFF")
    keeper.collect(m.Traces(1, (trace("a"), trace("b", "gone"))))
    keeper.close()
    assert not list(tmp_path.iterdir())


def test_a_change_writes_what_was_taken_before(told: list[m.Message], tmp_path: Path) -> None:
    keeper = tracing(told, tmp_path / "t", log_frequency="10")
    change(keeper, "m", trace_rate="3")
    keeper.collect(m.Traces(1, (trace("a", "m"), trace("b"))))
    change(keeper, "m", trace_rate=None)
    assert json.loads((tmp_path / "t.0").read_text()) == pieces(1, "a")
    change(keeper, trace_rate="4")
    assert json.loads((tmp_path / "t.1").read_text()) == pieces(2, "b")


def test_tensors_stand_behind_the_first_two_events(told: list[m.Message], tmp_path: Path) -> None:
    events = (("REQUEST_START", 1), ("QUEUE_START", 2), ("REQUEST_END", 3))
    tensor = m.TracedTensor("TENSOR_QUEUE_INPUT", "X", '"a","b"', "2,1", "BYTES")
    keeper = tracing(told, tmp_path / "t")
    keeper.collect(m.Traces(1, (m.Trace("", "m", 1, "", (), events, (tensor,)),)))
    keeper.close()
    written = json.loads((tmp_path / "t").read_text())
    assert [list(each)[1] for each in written] == ["model_name", "timestamps", "timestamps", "activity", "timestamps"]
    assert written[3] == {
        "id": 1,
        "activity": "TENSOR_QUEUE_INPUT",
        "tensor": {"name": "X", "data": '"a","b"', "shape": "2,1", "dtype": "BYTES"},
    }


def test_of_a_trace_without_times_the_tensors_are_all_there_is(told: list[m.Message], tmp_path: Path) -> None:
    tensor = m.TracedTensor("TENSOR_QUEUE_INPUT", "X", "1", "1", "INT8")
    keeper = tracing(told, tmp_path / "t")
    keeper.collect(m.Traces(1, (m.Trace("", "m", 1, "", (), ()), m.Trace("", "m", 1, "id", (), (), (tensor,)))))
    keeper.close()
    assert [list(each) for each in json.loads((tmp_path / "t").read_text())] == [["id", "activity", "tensor"]]


def test_where_spans_are_exported_a_trace_is_counted_and_nothing_is_written(
    told: list[m.Message], tmp_path: Path
) -> None:
    keeper = tracing(told, tmp_path / "t", trace_mode="opentelemetry", trace_count="2")
    keeper.collect(m.Traces(1, (trace("a"),)))
    keeper.close()
    settings = keeper.message().settings[""]
    assert settings["trace_count"] == ("1",)
    assert settings.keys() == DEFAULTS.keys() - {"log_frequency", "trace_file"}
    assert not list(tmp_path.iterdir())
