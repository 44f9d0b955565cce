"""What NVIDIA's management library (extra `gpu`) says of the GPUs of this machine; nothing where it or a GPU is missing.

It makes no CUDA context. It may block while a GPU is in trouble, so it is asked at start, and later only where an operator
uses what needs it. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PCI_DEVICES: Final = Path("/sys/bus/pci/devices")
_PCI_DOMAIN_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One GPU as the library numbers them, which is the order of their PCI addresses."""

    uuid: str
    #: The NUMA node that it is attached to; None where the machine does not say.
    node: int | None = None
    #: CUDA compute capability, (major, minor); None where unknown.
    capability: tuple[int, int] | None = None
    #: UUIDs of its MIG devices; None where it is not divided.
    mig: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Memory of a GPU, whoever uses it."""

    used_bytes: int
    total_bytes: int


def library() -> Any:
    """The library, ready to be asked, or None."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def read_gpus(nvml: Any = None, pci: Path = _PCI_DEVICES) -> tuple[GpuFacts, ...]:
    """The GPUs in the library's order; empty where it cannot be asked. `nvml` stands in for the library in tests."""
    nvml = nvml or library()
    if nvml is None:
        return ()
    try:
        return tuple(
            _facts(nvml, nvml.nvmlDeviceGetHandleByIndex(index), pci) for index in range(nvml.nvmlDeviceGetCount())
        )
    except nvml.NVMLError:
        return ()


def read_memory(names: Sequence[str], nvml: Any = None) -> tuple[GpuMemory | None, ...]:
    """Memory of GPUs by the names that CUDA_VISIBLE_DEVICES takes (UUID or number); None for one that does not tell."""
    nvml = nvml or library()
    if nvml is None:
        return (None,) * len(names)
    return tuple(_memory(nvml, name) for name in names)


def _memory(nvml: Any, name: str) -> GpuMemory | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return None
    return GpuMemory(memory.used, memory.total)


def _facts(nvml: Any, handle: Any, pci: Path) -> GpuFacts:
    uuid = text(nvml.nvmlDeviceGetUUID(handle))
    try:
        capability: tuple[int, int] | None = tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    except nvml.NVMLError:
        capability = None
    return GpuFacts(uuid, _node(nvml, handle, pci), capability, _mig(nvml, handle))


def _node(nvml: Any, handle: Any, pci: Path) -> int | None:
    try:
        address = text(nvml.nvmlDeviceGetPciInfo(handle).busId).lower()
        # The library writes eight digits of the domain, the kernel four.
        domain, _, rest = address.partition(":")
        node = int((pci / f"{domain[-_PCI_DOMAIN_DIGITS:]}:{rest}" / "numa_node").read_text())
    except (nvml.NVMLError, OSError, ValueError):
        return None
    return node if node >= 0 else None


def _mig(nvml: Any, handle: Any) -> tuple[str, ...] | None:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
        if not current:
            return None
        slots = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return None
    found: list[str] = []
    for slot in range(slots):
        try:
            found.append(text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot))))
        except nvml.NVMLError:
            continue
    return tuple(found)


def text(value: str | bytes) -> str:
    """What the library calls a name: text, or in older versions bytes."""
    return value.decode() if isinstance(value, bytes) else value
