"""The families that tell of the machine and of the server's own processes. Names with `tis_` are not Triton's."""

from collections.abc import Iterator, Sequence
from typing import Final

from tis.contracts import messages as m
from tis.settings import ServerSettings
from tis_frontend.metrics.exposition import Family, labels
from tis_frontend.metrics.gpus import GpuReading

_PINNED: Final = (
    Family("nv_pinned_memory_pool_total_bytes", "gauge", "Pinned memory pool total memory size, in bytes"),
    Family("nv_pinned_memory_pool_used_bytes", "gauge", "Pinned memory pool used memory size, in bytes"),
)
_GPU_FAMILIES: Final = {
    "utilization": Family("nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)"),
    "memory_total_bytes": Family("nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes"),
    "memory_used_bytes": Family("nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes"),
    "power_usage_watts": Family("nv_gpu_power_usage", "gauge", "GPU power usage in watts"),
    "power_limit_watts": Family("nv_gpu_power_limit", "gauge", "GPU power management limit in watts"),
    "energy_joules": Family(
        "nv_energy_consumption", "counter", "GPU energy consumption in joules since its driver was loaded"
    ),
}
_CPU_UTILIZATION: Final = Family("nv_cpu_utilization", "gauge", "CPU utilization rate [0.0 - 1.0]")
_CPU_MEMORY_TOTAL: Final = Family("nv_cpu_memory_total_bytes", "gauge", "CPU total memory (RAM), in bytes")
_CPU_MEMORY_USED: Final = Family("nv_cpu_memory_used_bytes", "gauge", "CPU used memory (RAM), in bytes")

_POOL: Final = Family("tis_pool_bytes", "gauge", "Size of the pool of shared memory, in bytes")
_GRANTED: Final = Family(
    "tis_pool_granted_bytes", "gauge", "Shared memory that a process may use for tensors, in bytes"
)
_USED: Final = Family(
    "tis_pool_used_bytes", "gauge", "Shared memory that a process uses, as of its last heartbeat, in bytes"
)
_RESTARTS: Final = Family("tis_process_restarts", "counter", "Processes started again after they died, by kind")
_LATE: Final = Family(
    "tis_late_answers", "counter", "Answers that came for requests given up before, as of the last heartbeats"
)


def machine_lines(server: m.ServerMetrics, gpus: Sequence[GpuReading], settings: ServerSettings) -> Iterator[str]:
    """Triton's families of the machine. This server pins no memory."""
    for family in _PINNED:
        yield from family.lines([("", "", 0)])
    for field, family in _GPU_FAMILIES.items():
        values = [(gpu.uuid, getattr(gpu, field)) for gpu in gpus]
        yield from family.lines(("", labels({"gpu_uuid": uuid}), value) for uuid, value in values if value is not None)
    if settings.allow_cpu_metrics:
        yield from _CPU_UTILIZATION.lines([("", "", server.cpu_utilization)])
        yield from _CPU_MEMORY_TOTAL.lines([("", "", server.cpu_memory_total_bytes)])
        yield from _CPU_MEMORY_USED.lines([("", "", server.cpu_memory_used_bytes)])


def process_lines(server: m.ServerMetrics) -> Iterator[str]:
    """The server's own processes and their shared memory."""
    known = [(process, labels({"kind": process.kind, "process": process.name})) for process in server.processes]
    yield from _POOL.lines([("", "", server.pool_bytes)])
    yield from _GRANTED.lines(("", written, process.granted_bytes) for process, written in known)
    yield from _USED.lines(("", written, process.used_bytes) for process, written in known)
    yield from _RESTARTS.lines(("", labels({"kind": kind}), count) for kind, count in sorted(server.restarts.items()))
    yield from _LATE.lines([("", "", server.late_answers)])
