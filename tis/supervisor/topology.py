"""What the kernel and the environment say of cores, NUMA nodes and GPUs. Reading and arithmetic, no decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from tis.nvml import GpuFacts
from tis.pinned import cores_of

_SYS_NODES: Final = Path("/sys/devices/system/node")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that the server may use."""

    #: As CUDA_VISIBLE_DEVICES takes it: the UUID where it is known, else a number.
    name: str
    node: int | None = None
    capability: tuple[int, int] | None = None


def numa_nodes(folder: Path = _SYS_NODES) -> dict[int, frozenset[int]]:
    """The cores of each node; empty where the kernel does not tell."""
    nodes: dict[int, frozenset[int]] = {}
    for path in folder.glob("node[0-9]*"):
        try:
            nodes[int(path.name.removeprefix("node"))] = cores_of((path / "cpulist").read_text())
        except (OSError, ValueError):
            continue
    return dict(sorted(nodes.items()))


def core_quota(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How many cores' worth of time the control groups of this process allow, rounded up; None for any."""
    quotas: list[float] = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        root = cgroup if not controllers else cgroup / controllers
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder == root or root in folder.parents:
                quotas += _quota(folder)
    return max(1, ceil(min(quotas))) if quotas else None


def visible_gpus(visible: str | None, count: int, facts: Sequence[GpuFacts]) -> tuple[Gpu, ...]:
    """The GPUs that a server may use, in the order in which models number them.

    Args:
        visible: CUDA_VISIBLE_DEVICES of the server; None: everything.
        count: GPUs whose device files are there; 0: none.
        facts: what NVIDIA's library says of them; empty where it cannot be asked: then names stay as they are.

    A GPU that is divided (MIG) counts as its parts. As in CUDA, a name that is no GPU ends the list.
    """
    if not count:
        return ()
    if visible is None:
        found = [gpu for each in facts for gpu in _parts(each)]
        return tuple(found) if facts else tuple(Gpu(str(number)) for number in range(count))
    names = [name.strip() for name in visible.split(",")]
    gpus: dict[str, Gpu] = {}
    for name in names:
        if name in ("", "-1"):
            break
        resolved = _named(name, facts) if facts else (Gpu(name),)
        if not resolved:
            break
        gpus |= {gpu.name: gpu for gpu in resolved}
    return tuple(gpus.values())


def _named(name: str, facts: Sequence[GpuFacts]) -> tuple[Gpu, ...]:
    """The GPU of a number, a UUID, its beginning, or of a part; empty for none."""
    number, colon, part = name.partition(":")
    if number.isdigit():
        if int(number) >= len(facts):
            return ()
        gpu = facts[int(number)]
        parts = _parts(gpu)
        if not colon:
            return parts
        return parts[int(part) : int(part) + 1] if part.isdigit() and gpu.mig is not None else ()
    whole = [gpu for gpu in facts if gpu.uuid.startswith(name)]
    if name.startswith("GPU-"):
        return _parts(whole[0]) if len(whole) == 1 else ()
    for gpu in facts:
        # The older form of a part's name holds its GPU's: MIG-GPU-<uuid>/<instance>/<instance>.
        if name in (gpu.mig or ()) or name.startswith(f"MIG-{gpu.uuid}/"):
            return (Gpu(name, gpu.node, gpu.capability),)
    return ()


def _parts(gpu: GpuFacts) -> tuple[Gpu, ...]:
    names: Sequence[str] = (gpu.uuid,) if gpu.mig is None else gpu.mig
    return tuple(Gpu(name, gpu.node, gpu.capability) for name in names)


def too_old(capabilities: Sequence[tuple[int, int] | None], minimum: float) -> frozenset[int]:
    """Numbers of the GPUs whose compute capability is known and below a minimum such as 7.5."""
    return frozenset(
        number
        for number, capability in enumerate(capabilities)
        if capability is not None and capability[0] + capability[1] / 10 < minimum
    )


def _quota(folder: Path) -> list[float]:
    """Version 2 of control groups writes `200000 100000` or `max 100000` into one file, version 1 uses two."""
    for line in _lines(folder / "cpu.max"):
        limit, _, period = line.partition(" ")
        return [int(limit) / int(period)] if limit.isdigit() and period.isdigit() and int(period) else []
    both = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(both) == len(("quota", "period")) and all(text.isdigit() for text in both) and int(both[1]):
        return [int(both[0]) / int(both[1])]
    return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
