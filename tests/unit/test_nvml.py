"""What is read of NVIDIA's library; what one GPU cannot tell is left out, and without the library there is nothing."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tis import nvml
from tis.nvml import GpuFacts, GpuMemory, read_gpus, read_memory


class NVMLError(Exception):
    pass


class FakeNvml:
    """Two GPUs: the second is divided and of an unknown kind. Names are the library's."""

    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        if index > 1:
            raise NVMLError
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != "GPU-0":
            raise NVMLError
        return "0"

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:  # noqa: N802
        return f"{'MIG' if len(handle) > 1 else 'GPU'}-{handle}".encode()

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> list[int]:  # noqa: N802
        if handle != "0":
            raise NVMLError
        return [9, 0]

    def nvmlDeviceGetPciInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(busId=f"00000000:{handle}B:00.0".encode())

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        return [int(handle == "1"), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, _handle: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, slot: int) -> str:  # noqa: N802
        if slot not in (0, 3):
            raise NVMLError
        return f"{handle}.{slot}"

    def nvmlDeviceGetMemoryInfo(self, _handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=100, used=30, free=70)


def pci(tmp_path: Path, *nodes: int) -> Path:
    for number, node in enumerate(nodes):
        (tmp_path / f"0000:{number}b:00.0").mkdir()
        (tmp_path / f"0000:{number}b:00.0" / "numa_node").write_text(f"{node}\n")
    return tmp_path


def test_gpus_tell_uuid_node_capability_and_parts(tmp_path: Path) -> None:
    assert read_gpus(FakeNvml(), pci(tmp_path, 1, -1)) == (
        GpuFacts("GPU-0", 1, (9, 0), None),
        GpuFacts("GPU-1", None, None, ("MIG-1.0", "MIG-1.3")),
    )


def test_a_machine_that_does_not_tell_nodes_has_none(tmp_path: Path) -> None:
    assert [gpu.node for gpu in read_gpus(FakeNvml(), tmp_path)] == [None, None]


def test_memory_is_read_by_uuid_or_number_and_only_of_gpus_that_are_there() -> None:
    assert read_memory(["GPU-0", "1", "GPU-9", "7"], FakeNvml()) == (GpuMemory(30, 100), GpuMemory(30, 100), None, None)


def test_without_the_library_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml.library() is None
    assert read_gpus() == ()
    assert read_memory(["0"]) == (None,)


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="this machine has no GPU")
def test_a_real_gpu_tells_its_uuid_and_memory() -> None:
    pytest.importorskip("pynvml", reason="the extra `gpu` is not installed")
    facts = read_gpus()
    assert all(gpu.uuid.startswith("GPU-") for gpu in facts)
    (memory,) = read_memory([facts[0].uuid])
    assert memory is not None
    assert 0 < memory.used_bytes < memory.total_bytes
