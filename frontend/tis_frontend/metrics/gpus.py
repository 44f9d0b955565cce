"""What NVIDIA's management library tells of the GPUs; nothing where the library (extra `gpu`) or a GPU is not there.

NVML may block for long while a GPU is in trouble, so readings are made in a thread, and not more often than asked for.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tis.log import get_logger
from tis.nvml import library, text

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU; None for what it cannot tell."""

    uuid: str
    utilization: float | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    power_usage_watts: float | None = None
    power_limit_watts: float | None = None
    energy_joules: float | None = None


class Gpus:
    """The GPUs that this server may use, read at most once in an interval."""

    def __init__(self, interval_s: float, environment: Mapping[str, str] = os.environ) -> None:
        self._interval_s = interval_s
        self._hidden = "TRITON_SERVER_CPU_ONLY" in environment
        visible = environment.get("CUDA_VISIBLE_DEVICES")
        self._visible = None if visible is None else {name.strip() for name in visible.split(",")}
        self._nvml: Any = None
        self._readings: list[GpuReading] = []
        self._next_s = 0.0
        self._lock = asyncio.Lock()

    async def readings(self) -> list[GpuReading]:
        """The GPUs as last read."""
        if self._hidden:
            return []
        async with self._lock:
            if time.monotonic() >= self._next_s:
                self._next_s = time.monotonic() + self._interval_s
                self._readings = await asyncio.to_thread(self.read)
        return self._readings

    def read(self, nvml: Any = None) -> list[GpuReading]:
        """Read them now. `nvml` stands in for the library in tests."""
        self._nvml = nvml = nvml or self._nvml or library()
        if nvml is None:
            self._hidden = True
            return []
        found: list[GpuReading] = []
        try:
            for index in range(nvml.nvmlDeviceGetCount()):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                uuid = text(nvml.nvmlDeviceGetUUID(handle))
                if self._visible is None or {str(index), uuid} & self._visible:
                    found.append(_reading(nvml, handle, uuid))
        except nvml.NVMLError as error:
            _log.warning("the GPUs cannot be read: %s", error)
        return found


def _reading(nvml: Any, handle: Any, uuid: str) -> GpuReading:
    def ask(call: Callable[[Any], Any]) -> Any:
        try:
            return call(handle)
        except nvml.NVMLError:
            return None

    rates = ask(nvml.nvmlDeviceGetUtilizationRates)
    memory = ask(nvml.nvmlDeviceGetMemoryInfo)
    usage_mw = ask(nvml.nvmlDeviceGetPowerUsage)
    limit_mw = ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
    energy_mj = ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
    return GpuReading(
        uuid,
        None if rates is None else rates.gpu / 100,
        None if memory is None else memory.total,
        None if memory is None else memory.used,
        None if usage_mw is None else usage_mw / 1000,
        None if limit_mw is None else limit_mw / 1000,
        None if energy_mj is None else energy_mj / 1000,
    )
