"""Instances counted in all instead of on each GPU: spread evenly, packed, and off unless asked for."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.check_extensions import check_extensions
from tis.config.defaults import normalized
from tis.config.proto import Message
from tis.config.resolve import Surroundings, with_placement
from tis.config.source import parse_text
from tis.config.spec import instances_of
from tis.config.spreading import GpuRoom
from tis.errors import TisError


def config(groups: str, word: str | None) -> Message:
    asks = f'parameters {{ key: "tis.placement" value {{ string_value: "{word}" }} }}' if word is not None else ""
    return normalized(parse_text(f'name: "m" backend: "b" {groups} {asks}', "p"))


def places(groups: str, word: str | None, rooms: tuple[GpuRoom, ...] = (), gpus: int = 4) -> list[tuple[str, int]]:
    done = with_placement(config(groups, word), Surroundings(gpu_count=gpus, gpu_rooms=rooms))
    return [(each.name, each.device_id) for each in instances_of(done)]


@given(
    st.integers(1, 16),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.sampled_from(["spread", "pack"]),
    st.data(),
)
def test_counts_are_kept_and_spread_counts_differ_by_at_most_one(
    gpus: int, counts: list[int], word: str, data: st.DataObject
) -> None:
    room: Any = st.builds(GpuRoom, st.integers(0, 5), st.none() | st.floats(0, 1))
    rooms = data.draw(st.lists(room, max_size=gpus).map(tuple))
    listed = [data.draw(st.sets(st.integers(0, gpus - 1))) for _ in counts]
    groups = " ".join(
        f'instance_group {{ name: "g{number}" kind: KIND_GPU count: {count} gpus: {sorted(gpu)} }}'
        for number, (count, gpu) in enumerate(zip(counts, listed, strict=True))
    )
    surroundings = Surroundings(gpu_count=gpus, gpu_rooms=rooms)
    done = with_placement(config(groups, word), surroundings)
    assert with_placement(done, surroundings) == done
    instances = instances_of(done)
    assert len({(each.name, each.device_id) for each in instances}) == len(instances) == sum(counts)
    for number, (count, gpu) in enumerate(zip(counts, listed, strict=True)):
        wanted = gpu or set(range(gpus))
        there = Counter(each.device_id for each in instances if each.name.startswith(f"g{number}_"))
        assert there.total() == count
        assert set(there) <= wanted
        if word == "pack":
            assert len(there) == 1
        else:
            shares = [there[each] for each in wanted]
            assert max(shares) - min(shares) <= 1


def test_without_the_parameter_every_gpu_has_the_count_as_in_triton() -> None:
    groups = "instance_group { count: 2 gpus: [1, 3] }"
    everywhere = [("m_0_0", 1), ("m_0_0", 3), ("m_0_1", 1), ("m_0_1", 3)]
    assert places(groups, None) == places(groups, "replicate") == everywhere


def test_a_single_instance_goes_to_the_gpu_with_most_room() -> None:
    groups = "instance_group { kind: KIND_GPU }"
    assert places(groups, "spread", (GpuRoom(2), GpuRoom(1), GpuRoom(1), GpuRoom(3))) == [("m_0_0", 1)]
    free = (GpuRoom(0, 0.1), GpuRoom(0, 0.5), GpuRoom(9, 0.8), GpuRoom(3, 0.81))
    assert places(groups, "spread", free) == [("m_0_0", 3)]
    assert places("instance_group { count: 2 gpus: [0, 1] }", "pack", free) == [("m_0_0", 1), ("m_0_1", 1)]


def test_a_group_of_the_same_model_leaves_the_gpus_of_the_one_before_it() -> None:
    groups = "instance_group [ { count: 3 }, { count: 1 } ]"
    assert places(groups, "spread") == [("m_0_0", 0), ("m_0_0", 1), ("m_0_0", 2), ("m_1_0", 3)]


def test_instances_on_cpus_stay_as_they_are() -> None:
    assert places("instance_group { count: 2 kind: KIND_CPU }", "spread") == [("m_0_0", 0), ("m_0_1", 0)]


def test_a_missing_gpu_is_told_before_anything_is_spread() -> None:
    groups = "instance_group [ { kind: KIND_GPU gpus: 0 }, { name: 'far' kind: KIND_GPU gpus: [1, 7] } ]"
    words = "instance group far of model m specifies invalid or unsupported gpu id 7; GPUs of this server are: 0, 1"
    for word in (None, "spread", "pack"):
        with pytest.raises(TisError, match=words):
            places(groups, word, gpus=2)


def test_a_gpu_that_is_too_old_is_not_used_and_named_where_it_is_asked_for() -> None:
    surroundings = Surroundings(gpu_count=3, unsupported_gpus=frozenset({1}), min_compute_capability=7.5)

    def devices(groups: str) -> list[tuple[str, int]]:
        return [
            (each.kind, each.device_id) for each in instances_of(with_placement(config(groups, None), surroundings))
        ]

    assert devices("") == [("GPU", 0), ("GPU", 2)]
    assert devices("instance_group { kind: KIND_GPU }") == [("GPU", 0), ("GPU", 2)]
    words = "gpu id 1; GPUs with at least the minimum required CUDA compatibility of 7.500000 are: 0, 2"
    with pytest.raises(TisError, match=words):
        devices("instance_group { kind: KIND_GPU gpus: 1 }")


def test_another_word_is_refused() -> None:
    with pytest.raises(TisError, match=r"'tis.placement' of m must hold one of replicate, spread, pack; got 'any'"):
        check_extensions(config("", "any"))
    check_extensions(config("", "spread"))
