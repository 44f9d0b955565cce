"""Cores, nodes, quotas and GPUs as the kernel, NVIDIA's library and the environment tell of them."""

from pathlib import Path

import pytest

from tis.nvml import GpuFacts
from tis.supervisor.topology import Gpu, core_quota, numa_nodes, too_old, visible_gpus

FACTS = (GpuFacts("GPU-aaa1", 0, (8, 0)), GpuFacts("GPU-aab2", 1, (9, 0)), GpuFacts("GPU-c3", None, None))
DIVIDED = (GpuFacts("GPU-a", 0, (9, 0), ("MIG-1", "MIG-2")), GpuFacts("GPU-b", 1, (9, 0)), GpuFacts("GPU-e", mig=()))


def names(visible: str | None, facts: tuple[GpuFacts, ...], count: int = 3) -> list[str]:
    return [gpu.name for gpu in visible_gpus(visible, count, facts)]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["GPU-aaa1", "GPU-aab2", "GPU-c3"]),
        ("2,0", ["GPU-c3", "GPU-aaa1"]),
        ("GPU-aab2", ["GPU-aab2"]),
        ("GPU-c, 0", ["GPU-c3", "GPU-aaa1"]),
        ("1,3,0", ["GPU-aab2"]),
        ("1,-1,0", ["GPU-aab2"]),
        ("GPU-aa", []),
        ("1,1", ["GPU-aab2"]),
        ("", []),
        ("none", []),
    ],
)
def test_gpus_are_named_by_uuid_whatever_the_operator_called_them(visible: str | None, seen: list[str]) -> None:
    assert names(visible, FACTS) == seen


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["MIG-1", "MIG-2", "GPU-b"]),
        ("MIG-2", ["MIG-2"]),
        ("MIG-GPU-a/3/0,1", ["MIG-GPU-a/3/0", "GPU-b"]),
        ("0", ["MIG-1", "MIG-2"]),
        ("0:1", ["MIG-2"]),
        ("0:7", []),
        ("1:0", []),
        ("MIG-9", []),
    ],
)
def test_the_parts_of_a_divided_gpu_count_as_gpus(visible: str | None, seen: list[str]) -> None:
    assert names(visible, DIVIDED) == seen


def test_a_gpu_keeps_its_node_and_capability_in_any_order() -> None:
    assert visible_gpus("1,0", 3, FACTS) == (Gpu("GPU-aab2", 1, (9, 0)), Gpu("GPU-aaa1", 0, (8, 0)))


def test_without_the_library_names_stay_as_they_are() -> None:
    assert names(None, ()) == ["0", "1", "2"]
    assert names("GPU-x,1,1", ()) == ["GPU-x", "1"]


def test_without_device_files_there_are_no_gpus() -> None:
    assert names(None, FACTS, count=0) == []


@pytest.mark.parametrize(
    ("minimum", "old"), [(0.0, set()), (8.0, set()), (8.1, {0}), (9.0, {0}), (12.0, {0, 1}), (8.9, {0})]
)
def test_gpus_below_the_minimum_are_too_old_and_unknown_ones_are_not(minimum: float, old: set[int]) -> None:
    assert too_old([(8, 0), (8, 9) if minimum == 8.9 else (9, 0), None], minimum) == old


def test_nodes_have_the_cores_that_the_kernel_lists(tmp_path: Path) -> None:
    for name, text in (("node0", "0-3,8-11\n"), ("node1", "4-7\n"), ("node2", "\n"), ("node3", "?")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpulist").write_text(text)
    assert numa_nodes(tmp_path) == {0: {0, 1, 2, 3, 8, 9, 10, 11}, 1: {4, 5, 6, 7}, 2: set()}
    assert numa_nodes(tmp_path / "none") == {}


def test_the_tightest_quota_of_the_control_groups_counts(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (groups / "app" / "server").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/app/server\n")
    assert core_quota(proc, groups) is None
    (groups / "app" / "server" / "cpu.max").write_text("max 100000\n")
    assert core_quota(proc, groups) is None
    (groups / "app" / "cpu.max").write_text("250000 100000\n")
    assert core_quota(proc, groups) == 3
    (groups / "app" / "server" / "cpu.max").write_text("1000 100000\n")
    assert core_quota(proc, groups) == 1


def test_quotas_of_the_older_control_groups_count_as_well(tmp_path: Path) -> None:
    proc, group = tmp_path / "proc", tmp_path / "groups" / "cpu,cpuacct" / "app"
    (proc / "self").mkdir(parents=True)
    group.mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("4:memory:/app\n3:cpu,cpuacct:/app\n0::/\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert core_quota(proc, tmp_path / "groups") is None
    (group / "cpu.cfs_quota_us").write_text("400000\n")
    assert core_quota(proc, tmp_path / "groups") == 4
