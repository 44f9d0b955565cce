"""The pool's size follows the machine's memory and its control groups, and errors name the sizes."""

from pathlib import Path

import pytest

from tis_shm.limits import MINIMUM_POOL_BYTES, choose_pool_bytes, memory_limit_bytes
from tis_shm.pool import PoolError

GIB = 1 << 30


def machine(tmp_path: Path, *, total_kib: int = 8 << 20, cgroup: str = "0::/app/server\n") -> tuple[Path, Path]:
    """A /proc and a /sys/fs/cgroup of our own."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal:       {total_kib} kB\nMemFree:        1 kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)
    (groups / "app" / "server").mkdir(parents=True)
    return proc, groups


def test_without_a_control_group_limit_the_machines_memory_counts(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path)
    (groups / "app" / "server" / "memory.max").write_text("max\n")
    assert memory_limit_bytes(proc, groups) == 8 * GIB


@pytest.mark.parametrize("folder", ["app/server", "app", "."])
def test_the_smallest_limit_on_the_way_up_counts(tmp_path: Path, folder: str) -> None:
    proc, groups = machine(tmp_path)
    (groups / "app" / "server" / "memory.max").write_text(f"{4 * GIB}\n")
    (groups / folder / "memory.max").write_text(f"{2 * GIB}\n")
    assert memory_limit_bytes(proc, groups) == 2 * GIB


def test_a_limit_outside_the_control_group_file_system_is_not_read(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path)
    (tmp_path / "memory.max").write_text("1\n")
    assert memory_limit_bytes(proc, groups) == 8 * GIB


def test_a_control_group_of_the_first_version_counts_too(tmp_path: Path) -> None:
    proc, groups = machine(tmp_path, cgroup="9:memory:/app\n1:name=systemd:/app:x\n")
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    assert memory_limit_bytes(proc, groups) == 3 * GIB


def test_this_machine_has_a_limit() -> None:
    assert memory_limit_bytes() > 0


def test_a_machine_that_hides_its_memory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="does not say how much memory"):
        memory_limit_bytes(tmp_path, tmp_path)


def test_where_nothing_is_asked_the_pool_is_half_of_the_limit() -> None:
    assert choose_pool_bytes(0, 8 * GIB) == 4 * GIB


def test_what_is_asked_is_taken_up_to_the_limit_itself() -> None:
    assert choose_pool_bytes(GIB, 8 * GIB) == GIB
    assert choose_pool_bytes(8 * GIB, 8 * GIB) == 8 * GIB


def test_more_than_the_limit_is_an_error_with_both_sizes() -> None:
    with pytest.raises(PoolError, match=rf"--pool-byte-size={8 * GIB + 1} .*\({8 * GIB} bytes\)"):
        choose_pool_bytes(8 * GIB + 1, 8 * GIB)


@pytest.mark.parametrize(("asked", "limit"), [(MINIMUM_POOL_BYTES - 1, GIB), (0, 2 * MINIMUM_POOL_BYTES - 1)])
def test_too_little_to_serve_with_is_an_error_with_the_sizes(asked: int, limit: int) -> None:
    with pytest.raises(PoolError, match=rf"memory limit {limit}\); at least {MINIMUM_POOL_BYTES} bytes"):
        choose_pool_bytes(asked, limit)
