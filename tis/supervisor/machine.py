"""What the machine offers to models: cores and GPUs, and what a worker's environment must say to see its share only."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tis.config.spreading import GpuRoom
from tis.contracts.model_spec import InstanceSpec
from tis.log import get_logger
from tis.nvml import GpuFacts, GpuMemory, read_gpus, read_memory
from tis.pinned import may_bind_memory
from tis.settings import ServerSettings
from tis.supervisor.host_policy import by_name
from tis.supervisor.placement import Placement, check_gpu_limits, place, visible_to
from tis.supervisor.topology import Gpu, core_quota, numa_nodes, too_old, visible_gpus

_CUDA_DISTRIBUTIONS: Final[dict[str, tuple[str, ...]]] = {
    "dali": ("nvidia-dali-cuda120", "nvidia-dali-cuda130"),
    "fil": ("nvforest-cu12", "nvforest-cu13"),
    "onnxruntime": ("onnxruntime-gpu",),
    "pytorch": ("torch",),
    "tensorflow": ("tensorflow",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
}
#: Environment variables by which numerical libraries choose how many threads they start.
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores that this process may use, and GPUs by the names that CUDA_VISIBLE_DEVICES takes."""

    #: As many as the control group gives time for, if that is less than there are.
    cores: int
    gpus: tuple[str, ...]
    #: Numbers of the cores that this process may use; empty: 0 to `cores`.
    core_ids: frozenset[int] = frozenset()
    #: All cores of each NUMA node; empty: a single node.
    numa_nodes: Mapping[int, frozenset[int]] = field(default_factory=dict)
    #: Nodes and compute capabilities of the GPUs, as far as they are known.
    gpu_nodes: tuple[int | None, ...] = ()
    gpu_capabilities: tuple[tuple[int, int] | None, ...] = ()
    #: Whether the kernel lets a process choose its memory's node.
    binds_memory: bool = True
    #: The operator's: settings of host policies by name, limits of memory in use by number of the GPU, GPUs not to use.
    policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpu_limits: Mapping[int, float] = field(default_factory=dict)
    unsupported_gpus: frozenset[int] = frozenset()

    @property
    def allowed(self) -> frozenset[int]:
        """Numbers of the cores that this process may use."""
        return self.core_ids or frozenset(range(self.cores))

    @property
    def nodes(self) -> Mapping[int, frozenset[int]]:
        """The cores of each NUMA node; at least one node."""
        return self.numa_nodes or {0: self.allowed}

    @property
    def has_several_nodes(self) -> bool:
        """Whether the cores that this process may use lie on more than one node."""
        return sum(1 for cores in self.nodes.values() if cores & self.allowed) > 1

    def node_of_gpu(self, number: int) -> int | None:
        """The node that a GPU is attached to, where that is known."""
        return self.gpu_nodes[number] if number < len(self.gpu_nodes) else None

    def under(self, settings: ServerSettings) -> "Machine":
        """The same machine with what the operator says of it."""
        minimum = settings.min_supported_compute_capability
        return dataclasses.replace(
            self,
            policies=by_name(settings.host_policies),
            gpu_limits=dict(settings.model_load_gpu_limits),
            unsupported_gpus=too_old(self.gpu_capabilities, minimum),
        )

    def place(self, instances: Sequence[InstanceSpec]) -> tuple[Placement, ...]:
        """Where the instances of a model version run; see `tis.supervisor.placement.place`."""
        return place(self, self.policies, instances)

    def check_room(
        self,
        placements: Sequence[Placement],
        read: Callable[[Sequence[str]], Sequence[GpuMemory | None]] = read_memory,
    ) -> None:
        """Refuses a load onto a GPU that is too full; nothing is asked where the operator set no limit.

        Raises:
            TisError: UNAVAILABLE, see `check_gpu_limits`.
        """
        numbers = [number for number in self.gpu_limits if number < len(self.gpus)]
        if numbers and any(each.instance.kind == "GPU" for each in placements):
            memory = read([self.gpus[number] for number in numbers])
            check_gpu_limits(placements, self.gpu_limits, dict(zip(numbers, memory, strict=True)))

    def rooms(self, instances: Sequence[InstanceSpec]) -> tuple[GpuRoom, ...]:
        """How much room each GPU has, given the instances that there are on all of them."""
        on_gpu = [each.device_id for each in instances if each.kind == "GPU"]
        return tuple(
            GpuRoom(on_gpu.count(number), 1 - memory.used_bytes / memory.total_bytes if memory else None)
            for number, memory in enumerate(read_memory(self.gpus))
        )

    def threads_for(self, instances: int) -> int:
        """Threads of one of so many CPU instances that share the cores."""
        return max(1, self.cores // max(instances, 1))

    def environment(self, instance: InstanceSpec, threads: int) -> dict[str, str]:
        """What a worker's environment adds: a GPU instance sees its GPU and no other, a CPU instance none."""
        environment = {name: os.environ.get(name, str(threads)) for name in _THREAD_VARIABLES}
        # ONNX Runtime writes usage data below the home directory and can send them, unless told before it is imported.
        environment["ORT_DISABLE_TELEMETRY"] = "1"
        environment["CUDA_DEVICE_ORDER"] = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        environment["CUDA_VISIBLE_DEVICES"] = visible_to(self.gpus, instance)
        return environment


def this_machine(
    environment: Mapping[str, str] = os.environ,
    devices: Path = Path("/dev"),
    facts: Callable[[], tuple[GpuFacts, ...]] = read_gpus,
) -> Machine:
    """The machine that this process runs on, as far as its environment lets it see it."""
    core_ids = frozenset(os.sched_getaffinity(0))
    gpus: tuple[Gpu, ...] = ()
    count = sum(1 for path in devices.glob("nvidia[0-9]*"))
    if count and "TRITON_SERVER_CPU_ONLY" not in environment:
        # In another order than the library's, numbers would mean other GPUs than it tells of.
        by_address = environment.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID") == "PCI_BUS_ID"
        gpus = visible_gpus(environment.get("CUDA_VISIBLE_DEVICES"), count, facts() if by_address else ())
    return Machine(
        cores=usable_cores(),
        gpus=tuple(gpu.name for gpu in gpus),
        core_ids=core_ids,
        numa_nodes=numa_nodes(),
        gpu_nodes=tuple(gpu.node for gpu in gpus),
        gpu_capabilities=tuple(gpu.capability for gpu in gpus),
        binds_memory=may_bind_memory(),
    )


def invented_machine(*, cores: int, nodes: int = 1, gpus: int = 0) -> Machine:
    """A machine that need not exist: cores and GPUs numbered through, node by node, as evenly as it goes."""
    bounds = [cores * node // nodes for node in range(nodes + 1)]
    return Machine(
        cores=cores,
        gpus=tuple(str(number) for number in range(gpus)),
        core_ids=frozenset(range(cores)),
        numa_nodes={node: frozenset(range(bounds[node], bounds[node + 1])) for node in range(nodes)},
        gpu_nodes=tuple(number * nodes // gpus for number in range(gpus)),
        gpu_capabilities=(None,) * gpus,
    )


def usable_cores() -> int:
    """How many cores' worth of time this process may use: those that it may run on, or the control group's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = core_quota()
    return cores if quota is None else min(cores, quota)


def machine_under(settings: ServerSettings) -> Machine:
    """This machine with what the operator says of it; logs what it cannot do."""
    machine = this_machine().under(settings)
    if any(setting == "numa-node" for _, setting, _ in settings.host_policies) and not machine.binds_memory:
        _log.warning(
            "--host-policy: this kernel or container does not let processes choose their memory's NUMA node; 'numa-node' "
            "chooses cores only"
        )
    if settings.min_supported_compute_capability and any(each is None for each in machine.gpu_capabilities):
        _log.warning(
            "--min-supported-compute-capability: that of the GPUs is not known, and all are used; install NVIDIA's "
            "management library with: pip install 'tis[gpu]'"
        )
    return machine


def backend_uses_gpu(backend: str) -> bool:
    """True where the installed build of a backend's framework can run on a GPU."""
    return any(_is_installed(distribution) for distribution in _CUDA_DISTRIBUTIONS.get(backend, ()))


def _is_installed(distribution: str) -> bool:
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    # PyTorch has both builds under one name.
    return not version.endswith("+cpu")
