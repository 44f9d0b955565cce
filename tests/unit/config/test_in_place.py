"""Only a change of instance groups or of the version policy leaves running instances alone."""

import pytest

from tis.config.in_place import changed_fields, updates_in_place
from tis.config.proto import Message
from tis.config.source import parse_text

BASE = """
    name: "m" backend: "onnxruntime" max_batch_size: 4
    input { name: "A" data_type: TYPE_FP32 dims: [ 4 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }
    parameters { key: "a" value { string_value: "1" } } parameters { key: "b" value { string_value: "2" } }
    metric_tags { key: "k" value: "v" }
"""


def config(more: str, base: str = BASE) -> Message:
    return parse_text(base + more, "p")


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ("", set()),
        ("instance_group { count: 2 kind: KIND_CPU }", {"instance_group"}),
        ("version_policy { all { } }", {"version_policy"}),
        ("version_policy { }", {"version_policy"}),
        ("version_policy { all { } } instance_group { count: 1 }", {"instance_group", "version_policy"}),
        ("dynamic_batching { }", {"dynamic_batching"}),
        ('instance_group { count: 2 } parameters { key: "c" value { } }', {"instance_group", "parameters"}),
        ('metric_tags { key: "k" value: "w" }', {"metric_tags"}),
        ('default_model_filename: "x"', {"default_model_filename"}),
        ("optimization { priority: PRIORITY_MAX }", {"optimization"}),
    ],
)
def test_the_fields_that_differ_are_told_in_both_directions(more: str, fields: set[str]) -> None:
    assert changed_fields(config(""), config(more)) == changed_fields(config(more), config("")) == fields
    allowed = fields <= {"instance_group", "version_policy"}
    assert updates_in_place(config(""), config(more)) is updates_in_place(config(more), config("")) is allowed


def test_maps_are_equal_in_any_order() -> None:
    swapped = BASE.replace('"a"', '"x"').replace('"b"', '"a"').replace('"x"', '"b"')
    swapped = swapped.replace('"1"', '"x"').replace('"2"', '"1"').replace('"x"', '"2"')
    assert updates_in_place(config(""), config("", swapped))


def test_the_order_of_inputs_matters() -> None:
    more = 'input { name: "B" data_type: TYPE_FP32 dims: [ 1 ] }'
    swapped = BASE.replace('input { name: "A"', more + ' input { name: "A"')
    assert changed_fields(config(more), config("", swapped)) == {"input"}
