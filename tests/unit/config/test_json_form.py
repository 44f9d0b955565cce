import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tis.config.backend_guess import with_backend
from tis.config.defaults import normalized, with_instance_groups
from tis.config.json_form import from_json, to_json
from tis.config.proto import Message, ModelConfig, is_map, is_repeated
from tis.config.source import parse_text
from tis.errors import Code, TisError

#: Without the largest magnitudes: Python's own JSON reader refuses their shortest spelling, 3.4028235e38.
FLOAT32 = st.floats(width=32, min_value=-(2.0**127), max_value=2.0**127)
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.pbtxt")), ids=lambda path: path.stem)
def test_the_form_is_byte_for_byte_what_triton_answered(path: Path) -> None:
    config = with_backend(parse_text(path.read_text(), path), path.stem, {"model.py": False})
    config = with_instance_groups(normalized(config), gpu_count=0, backend_uses_gpu=True)
    shown = json.dumps(to_json(config), separators=(",", ":"), ensure_ascii=False)
    assert shown == path.with_suffix(".json").read_text().strip()


def test_an_unset_submessage_is_absent_and_a_set_one_shows_its_defaults() -> None:
    assert "response_cache" not in to_json(ModelConfig())
    shown = to_json(parse_text("response_cache { } version_policy { all { } } dynamic_batching { }", "p"))
    assert shown["response_cache"] == {"enable": False}
    assert shown["version_policy"] == {"all": {}}
    assert "default_queue_policy" not in shown["dynamic_batching"]


def test_a_field_younger_than_triton_2_51_is_shown_only_where_set() -> None:
    assert to_json(parse_text("ensemble_scheduling { }", "p"))["ensemble_scheduling"] == {"step": []}
    shown = to_json(parse_text("ensemble_scheduling { max_inflight_requests: 3 }", "p"))
    assert shown["ensemble_scheduling"] == {"step": [], "max_inflight_requests": 3}


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


@given(FLOAT32)
def test_a_float32_is_shown_with_few_digits_and_reads_back_the_same(value: float) -> None:
    config = ModelConfig()
    config.sequence_batching.direct.minimum_slot_utilization = value
    shown = to_json(config)["sequence_batching"]["direct"]["minimum_slot_utilization"]
    assert float32(shown) == value
    assert len(f"{abs(shown):e}".split("e")[0].rstrip("0").replace(".", "")) <= 9
    assert from_json(json.dumps(to_json(config))) == config


@pytest.mark.parametrize(("value", "shown"), [(1.1, 1.1), (1.0, 1), (0.3, 0.3), (1e-7, 1e-7), (-2.0, -2)])
def test_a_float_is_shown_as_triton_shows_it(value: float, shown: float) -> None:
    config = ModelConfig()
    config.sequence_batching.direct.minimum_slot_utilization = value
    found = to_json(config)["sequence_batching"]["direct"]["minimum_slot_utilization"]
    assert (found, type(found)) == (shown, type(shown))


@pytest.mark.parametrize(("value", "word"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")])
def test_what_json_has_no_number_for_is_a_word(value: str, word: str) -> None:
    config = parse_text(f"sequence_batching {{ direct {{ minimum_slot_utilization: {value} }} }}", "p")
    assert to_json(config)["sequence_batching"]["direct"]["minimum_slot_utilization"] == word


def _scalar(field: Any) -> st.SearchStrategy[Any]:
    kinds: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
        field.TYPE_STRING: st.text,
        field.TYPE_BOOL: st.booleans,
        field.TYPE_INT32: lambda: st.integers(-(2**31), 2**31 - 1),
        field.TYPE_UINT32: lambda: st.integers(0, 2**32 - 1),
        field.TYPE_INT64: lambda: st.integers(-(2**63), 2**63 - 1),
        field.TYPE_UINT64: lambda: st.integers(0, 2**64 - 1),
        field.TYPE_FLOAT: lambda: FLOAT32,
        field.TYPE_DOUBLE: lambda: st.floats(allow_nan=False),
        field.TYPE_ENUM: lambda: st.sampled_from(sorted(field.enum_type.values_by_number)),
    }
    return kinds[field.type]()


def _fill(draw: st.DrawFn, message: Message) -> None:
    """Fills a random choice of a message's fields with random values."""
    for field in message.DESCRIPTOR.fields:
        if draw(st.integers(0, 3)) != 0:
            continue
        target = getattr(message, field.name)
        if is_map(field):
            value_field = field.message_type.fields_by_name["value"]
            for key in draw(st.lists(_scalar(field.message_type.fields_by_name["key"]), max_size=2)):
                if value_field.message_type is None:
                    target[key] = draw(_scalar(value_field))
                else:
                    _fill(draw, target[key])
        elif field.message_type is not None and is_repeated(field):
            for _ in range(draw(st.integers(1, 2))):
                _fill(draw, target.add())
        elif field.message_type is not None:
            target.SetInParent()
            _fill(draw, target)
        elif is_repeated(field):
            target.extend(draw(st.lists(_scalar(field), max_size=3)))
        else:
            setattr(message, field.name, draw(_scalar(field)))


@st.composite
def configs(draw: st.DrawFn) -> Message:
    config = ModelConfig()
    _fill(draw, config)
    return config


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs())
def test_any_config_survives_the_way_to_json_and_back(config: Message) -> None:
    assert from_json(json.dumps(to_json(config))) == config


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configs())
def test_the_form_has_the_fields_that_protobufs_own_printer_has(config: Message) -> None:
    theirs = json_format.MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if config.HasField("ensemble_scheduling") and not config.ensemble_scheduling.max_inflight_requests:
        del theirs["ensemble_scheduling"]["max_inflight_requests"]
    assert to_json(config).keys() == theirs.keys()
    assert json_format.ParseDict(to_json(config), ModelConfig()) == json_format.ParseDict(theirs, ModelConfig())


@pytest.mark.parametrize(
    "text",
    [
        '{"input": [{"name": "A", "data_type": "TYPE_FP32", "dims": [-1, 4]}]}',
        '{"input": [{"name": "A", "dataType": "type_fp32", "dims": ["-1", "4"]}]}',
        '{"input": [{"name": "A", "data_type": 11, "dims": [-1.0, 4]}], "parameters": null}',
    ],
)
def test_an_override_may_spell_numbers_names_and_enums_in_every_way_triton_takes(text: str) -> None:
    assert from_json(text) == parse_text('input { name: "A" data_type: TYPE_FP32 dims: [-1, 4] }', "p")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"foo": 1}', "foo"),
        ('{"input": [{"nmae": "A"}]}', "nmae"),
        ('{"max_batch_size": 4.5}', "max_batch_size"),
        ('{"max_batch_size": 99999999999}', "max_batch_size"),
        ('{"input": [{"data_type": "TYPE_FP3"}]}', "TYPE_FP3"),
        ('{"input": 3}', "input"),
        ('{"input": [3]}', "input"),
        ('{"parameters": {"a": "text"}}', "parameters"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("{", ""),
        ("", ""),
        ('{"input": ' + "[" * 100_000, ""),
        ('{"input": ' + "[" * 500 + "]" * 500 + "}", ""),
    ],
)
def test_a_wrong_override_is_refused_with_its_fault(text: str, wrong: str) -> None:
    with pytest.raises(TisError) as caught:
        from_json(text)
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message.startswith("Invalid config override: ")
    assert wrong in caught.value.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([f.name for f in ModelConfig.DESCRIPTOR.fields] + ["dims", "kind"]), inner, max_size=3
        )
    ),
)


@given(st.dictionaries(st.sampled_from([f.name for f in ModelConfig.DESCRIPTOR.fields]), _JSON, max_size=4))
def test_any_json_object_is_either_read_or_refused(document: dict[str, Any]) -> None:
    code = Code.INVALID_ARG
    try:
        from_json(json.dumps(document))
    except TisError as error:
        code = error.code
    assert code is Code.INVALID_ARG
