import pytest

from tis.config.defaults import normalized, with_instance_groups
from tis.config.proto import Message, ModelInstanceGroup, enum_name
from tis.config.source import parse_text


def config(text: str) -> Message:
    return parse_text(text, "p")


def groups(text: str, gpu_count: int = 0, backend_uses_gpu: bool = True) -> list[tuple[str, str, int, list[int]]]:
    done = with_instance_groups(config(text), gpu_count=gpu_count, backend_uses_gpu=backend_uses_gpu)
    return [(group.name, enum_name(group, "kind"), group.count, list(group.gpus)) for group in done.instance_group]


def test_an_empty_config_gets_version_policy_and_pinned_memory() -> None:
    expected = (
        "version_policy { latest { num_versions: 1 } } "
        "optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }"
    )
    assert normalized(config("")) == config(expected)


def test_what_the_user_set_is_kept() -> None:
    text = (
        "version_policy { all { } } optimization { input_pinned_memory { enable: false } output_pinned_memory { } } "
        "max_batch_size: 8 dynamic_batching { preferred_batch_size: [2, 4] }"
    )
    assert normalized(config(text)) == config(text)


@pytest.mark.parametrize(("max_batch_size", "preferred"), [(8, [8]), (0, []), (-1, [])])
def test_a_batcher_without_preferred_sizes_prefers_the_largest_batch(max_batch_size: int, preferred: list[int]) -> None:
    for batcher in ("dynamic_batching { }", "sequence_batching { oldest { } }"):
        done = normalized(config(f"max_batch_size: {max_batch_size} {batcher}"))
        found = done.dynamic_batching if done.HasField("dynamic_batching") else done.sequence_batching.oldest
        assert list(found.preferred_batch_size) == preferred


def test_a_sequence_is_idle_after_a_second_unless_said() -> None:
    assert normalized(config("sequence_batching { }")).sequence_batching.max_sequence_idle_microseconds == 1_000_000
    done = normalized(config("sequence_batching { max_sequence_idle_microseconds: 5 }"))
    assert done.sequence_batching.max_sequence_idle_microseconds == 5


def test_an_ensemble_gets_no_optimization_and_no_instances_but_says_whether_it_is_decoupled() -> None:
    done = with_instance_groups(normalized(config("ensemble_scheduling { }")), gpu_count=1, backend_uses_gpu=True)
    assert not done.HasField("optimization")
    assert not done.instance_group
    assert done.HasField("model_transaction_policy")


def test_normalizing_twice_changes_nothing_more() -> None:
    once = normalized(config("max_batch_size: 4 dynamic_batching { }"))
    assert normalized(once) == once


def test_the_given_config_is_left_alone() -> None:
    given = config("dynamic_batching { } max_batch_size: 4")
    before = given.SerializeToString()
    normalized(given)
    with_instance_groups(given, gpu_count=2, backend_uses_gpu=True)
    assert given.SerializeToString() == before


def test_an_auto_created_group_bears_the_models_name_and_unnamed_ones_their_index() -> None:
    assert groups('name: "m" backend: "python"') == [("m", "KIND_CPU", 1, [])]
    text = 'name: "m" backend: "python" instance_group [ { count: 3 }, { name: "g" }, { } ]'
    assert [group[:3] for group in groups(text)] == [
        ("m_0", "KIND_CPU", 3),
        ("g", "KIND_CPU", 1),
        ("m_2", "KIND_CPU", 1),
    ]


def test_without_a_kind_the_gpus_are_used_if_there_are_any() -> None:
    assert groups('name: "m" backend: "python"', gpu_count=2) == [("m", "KIND_GPU", 1, [0, 1])]
    assert groups('name: "m" instance_group { gpus: 1 }', gpu_count=2) == [("m_0", "KIND_GPU", 1, [1])]
    assert groups('name: "m"', gpu_count=2, backend_uses_gpu=False) == [("m", "KIND_CPU", 1, [])]


def test_without_a_kind_an_absent_gpu_means_cpu() -> None:
    assert groups('name: "m" instance_group { gpus: [0, 7] }', gpu_count=2) == [("m_0", "KIND_CPU", 1, [0, 7])]


@pytest.mark.parametrize(("backend", "count"), [("onnxruntime", 2), ("tensorflow", 2), ("python", 1), ("openvino", 1)])
def test_a_cpu_group_without_count_has_as_many_instances_as_its_backend_likes(backend: str, count: int) -> None:
    assert groups(f'name: "m" backend: "{backend}"')[0][2] == count
    assert groups(f'name: "m" backend: "{backend}" instance_group {{ count: -3 kind: KIND_CPU }}')[0][2] == count
    assert groups(f'name: "m" backend: "{backend}"', gpu_count=1)[0][2] == 1
    assert groups(f'name: "m" backend: "{backend}" instance_group {{ kind: KIND_MODEL }}')[0][2] == 1


def test_a_gpu_group_without_gpus_takes_all() -> None:
    assert groups('name: "m" instance_group { kind: KIND_GPU }', gpu_count=3)[0][3] == [0, 1, 2]
    assert groups('name: "m" instance_group { kind: KIND_GPU }', gpu_count=0)[0][3] == []
    assert ModelInstanceGroup.KIND_GPU == 1
