"""Which instance runs where: its GPU, cores, memory and threads. Pure: a machine and wishes in, decisions out.

Three things pin an instance to cores: `cpu-cores` of its host policy; else `numa-node` of it, which means the cores of that
node; else, for an instance on a GPU of a machine with several NUMA nodes, the cores of the node that the GPU is attached to.
An instance that none of them concerns may run on every core.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from tis.contracts.model_spec import InstanceSpec
from tis.errors import TisError, internal, unavailable
from tis.nvml import GpuMemory
from tis.pinned import core_list
from tis.supervisor.host_policy import HostPolicy, host_policy, policy_name

if TYPE_CHECKING:
    from tis.supervisor.machine import Machine


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one instance runs."""

    instance: InstanceSpec
    #: What CUDA_VISIBLE_DEVICES says to it.
    gpus: str
    #: The cores that it is pinned to; None for all that the server may use.
    cores: frozenset[int] | None
    #: The NUMA node that its memory comes from; None for any.
    node: int | None
    #: How many threads it should use at most.
    threads: int


def place(
    machine: "Machine", policies: Mapping[str, Mapping[str, str]], instances: Sequence[InstanceSpec]
) -> tuple[Placement, ...]:
    """Places for all instances of a model version, in their order.

    Raises:
        TisError: INVALID_ARG for a policy that cannot be read, INTERNAL for one that this machine cannot keep to (Triton's
            codes and words).
    """
    wishes = [host_policy(policies.get(policy_name(instance), {})) for instance in instances]
    pinned = [
        _cores(machine, instance, wish, policy_name(instance)) for instance, wish in zip(instances, wishes, strict=True)
    ]
    # What only prefers its GPU's cores mostly waits for the GPU: it takes no threads away from the others.
    counted = [instance.kind != "GPU" or wish != HostPolicy() for instance, wish in zip(instances, wishes, strict=True)]
    threads = _threads(machine, pinned, counted)
    return tuple(
        Placement(
            instance, visible_to(machine.gpus, instance), cores, wish.node if machine.binds_memory else None, share
        )
        for instance, wish, cores, share in zip(instances, wishes, pinned, threads, strict=True)
    )


def check_gpu_limits(
    placements: Sequence[Placement], limits: Mapping[int, float], memory: Mapping[int, GpuMemory | None]
) -> None:
    """Refuses a load onto a GPU of which more is in use than `--model-load-gpu-limit` allows.

    Args:
        placements: of the instances to be loaded.
        limits: fractions by the number of the GPU.
        memory: how full those GPUs are.

    Raises:
        TisError: UNAVAILABLE, in Triton's words; also where nobody can tell how full the GPU is.
    """
    for gpu in sorted({each.instance.device_id for each in placements if each.instance.kind == "GPU"} & limits.keys()):
        found = memory.get(gpu)
        if found is None:
            raise unavailable(
                f"memory limit set for GPU {gpu} cannot be kept, since its memory in use is not known; "
                "install NVIDIA's management library with: pip install 'tis[gpu]', or leave out --model-load-gpu-limit"
            )
        if found.used_bytes > limits[gpu] * found.total_bytes:
            raise unavailable(
                f"memory limit set for GPU {gpu} has exceeded, model loading is rejected. "
                f"{found.used_bytes} of {found.total_bytes} bytes are in use; the limit is {limits[gpu]:g} of them"
            )


def visible_to(gpus: Sequence[str], instance: InstanceSpec) -> str:
    """What CUDA_VISIBLE_DEVICES says: a GPU instance sees its GPU and no other, one that places itself all, others none."""
    if instance.kind == "GPU":
        return gpus[instance.device_id]
    return ",".join(gpus) if instance.kind == "MODEL" else ""


def _cores(machine: "Machine", instance: InstanceSpec, wish: HostPolicy, name: str) -> frozenset[int] | None:
    allowed = machine.allowed
    if wish.node is not None and wish.node not in machine.nodes:
        raise _impossible(
            "memory policy", name, f"numa-node {wish.node}", "the nodes of this machine are", machine.nodes
        )
    if wish.cores is not None:
        if not wish.cores & allowed:
            asked = f"cpu-cores {core_list(wish.cores)}"
            raise _impossible("thread affinity", name, asked, "this server may run on", allowed)
        return wish.cores & allowed
    if wish.node is not None:
        return machine.nodes[wish.node] & allowed or None
    if instance.kind == "GPU" and machine.has_several_nodes:
        node = machine.node_of_gpu(instance.device_id)
        return machine.nodes.get(node, frozenset()) & allowed or None if node is not None else None
    return None


def _impossible(
    what: str, name: str, asked: str, have: str, there: "frozenset[int] | Mapping[int, object]"
) -> TisError:
    return internal(f"Unable to set NUMA {what}: host policy '{name}' asks for {asked}; {have} {core_list(there)}")


def _threads(machine: "Machine", pinned: Sequence[frozenset[int] | None], counted: Sequence[bool]) -> list[int]:
    """A fair share of each core for all that count on it, whole threads only, at least one.

    Without pins that is the cores divided by the instances. A quota of the control group bounds every instance.
    """
    users: Counter[int] = Counter()
    for cores, counts in zip(pinned, counted, strict=True):
        if counts:
            users.update(machine.allowed if cores is None else cores)
    alike = Counter(cores for cores, counts in zip(pinned, counted, strict=True) if not counts)
    quota = Fraction(machine.cores, len(machine.allowed))
    shares: dict[frozenset[int] | None, int] = {}
    for cores in pinned:
        if cores not in shares:
            per_users = Counter(users[core] for core in (machine.allowed if cores is None else cores))
            fair = sum(Fraction(count, max(among, 1)) for among, count in per_users.items())
            shares[cores] = floor(fair * quota) if cores is None else floor(min(fair, machine.cores))
    return [
        max(1, shares[cores] if counts or cores is None else min(len(cores) // alike[cores], machine.cores))
        for cores, counts in zip(pinned, counted, strict=True)
    ]
