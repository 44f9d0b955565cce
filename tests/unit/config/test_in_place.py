"""Only a change of instance groups or of the version policy leaves running instances alone."""

import pytest

from tis.config.in_place import changed_fields, kept_instances, updates_in_place, with_count, with_instances_of
from tis.config.proto import Message
from tis.config.source import parse_text
from tis.contracts.model_spec import InstanceSpec
from tis.contracts.scheduling_spec import RateLimitSpec
from tis.errors import TisError

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


def cpu(*names: str) -> list[InstanceSpec]:
    return [InstanceSpec(name, "CPU") for name in names]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (cpu("m_0_0"), cpu("m_0_0", "m_0_1", "m_0_2"), (0, None, None)),
        (cpu("m_0_0", "m_0_1", "m_0_2"), cpu("m_0_0"), (0,)),
        (cpu("a_0", "b_0"), cpu("b_0"), (1,)),
        (cpu("a_0", "b_0"), cpu("b_0", "b_1"), (1, 0)),
        (cpu("a_0"), cpu("x_0", "a_0"), (None, 0)),
        (cpu("a_0"), cpu("x_0"), (0,)),
        (cpu("a_0"), [InstanceSpec("a_0", "MODEL")], (None,)),
        (cpu("a_0"), [InstanceSpec("a_0", "CPU", passive=True)], (None,)),
        (cpu("a_0"), [InstanceSpec("a_0", "CPU", rate_limit=RateLimitSpec(priority=2))], (None,)),
        (cpu("a_0"), [InstanceSpec("a_0", "CPU", host_policy="p")], (None,)),
        ([InstanceSpec("a_0", "GPU", device) for device in (0, 1)], [InstanceSpec("b_0", "GPU", 1)], (1,)),
        ([], cpu("a_0"), (None,)),
        (cpu("a_0"), [], ()),
    ],
)
def test_an_instance_goes_on_where_at_most_its_name_differs(
    before: list[InstanceSpec], after: list[InstanceSpec], kept: tuple[int | None, ...]
) -> None:
    assert kept_instances(before, after) == kept


GROUPS = 'instance_group { name: "a" count: 2 kind: KIND_CPU } instance_group { name: "b" count: 1 kind: KIND_CPU }'


@pytest.mark.parametrize(("group", "counts"), [("a", [5, 1]), ("b", [2, 5]), ("0", [5, 1]), ("1", [2, 5])])
def test_a_group_is_meant_by_name_or_position(group: str, counts: list[int]) -> None:
    before = config(GROUPS)
    assert [each.count for each in with_count(before, group, 5).instance_group] == counts
    assert [each.count for each in before.instance_group] == [2, 1]


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("", "which instance group is meant must be said; the instance groups of model 'm' are a, b"),
        ("c", "unknown instance group 'c'; the instance groups of model 'm' are a, b"),
        ("2", "unknown instance group '2'; the instance groups of model 'm' are a, b"),
        ("-1", "unknown instance group '-1'; the instance groups of model 'm' are a, b"),
    ],
)
def test_a_group_that_there_is_not_is_refused_with_those_that_there_are(group: str, text: str) -> None:
    with pytest.raises(TisError) as refused:
        with_count(config(GROUPS), group, 5)
    assert refused.value.message == text


def test_the_only_group_needs_no_name() -> None:
    [group] = with_count(config('instance_group { name: "a" count: 2 }'), "", 1).instance_group
    assert group.count == 1


def test_a_completed_config_takes_groups_and_policy_of_another_and_nothing_else() -> None:
    completed = config("version_policy { all { } } instance_group { count: 1 }")
    asked = config(GROUPS + "version_policy { latest { num_versions: 3 } } dynamic_batching { }")
    assert changed_fields(completed, with_instances_of(completed, asked)) == {"instance_group", "version_policy"}
    assert with_instances_of(completed, asked).version_policy.latest.num_versions == 3
