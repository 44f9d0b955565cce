"""GPUs as NVML tells of them; what one cannot tell is left out, and without NVML there are none."""

from types import SimpleNamespace
from typing import Any

from tis_frontend.metrics.gpus import GpuReading, Gpus


class NVMLError(Exception):
    pass


class FakeNvml:
    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - the library's name
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:  # noqa: N802
        return f"GPU-{handle}".encode()

    def nvmlDeviceGetUtilizationRates(self, _handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=25, memory=1)

    def nvmlDeviceGetMemoryInfo(self, _handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=1000, used=10, free=990)

    def nvmlDeviceGetPowerUsage(self, _handle: int) -> int:  # noqa: N802
        return 70_500

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle: int) -> int:  # noqa: N802
        raise NVMLError

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle: int) -> int:  # noqa: N802
        return 1_500


def test_readings_are_in_tritons_units() -> None:
    assert Gpus(1, {}).read(FakeNvml())[1] == GpuReading("GPU-1", 0.25, 1000, 10, 70.5, None, 1.5)


def test_only_gpus_that_the_server_may_use_are_told() -> None:
    assert [each.uuid for each in Gpus(1, {"CUDA_VISIBLE_DEVICES": "1"}).read(FakeNvml())] == ["GPU-1"]
    assert [each.uuid for each in Gpus(1, {"CUDA_VISIBLE_DEVICES": "GPU-0"}).read(FakeNvml())] == ["GPU-0"]
    assert Gpus(1, {"CUDA_VISIBLE_DEVICES": ""}).read(FakeNvml()) == []
