"""What the machine offers to models: cores and GPUs, and what a worker's environment must say to see its share only."""

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tis.contracts.model_spec import InstanceSpec

_CUDA_DISTRIBUTIONS: Final = {"onnxruntime": "onnxruntime-gpu", "pytorch": "torch", "tensorflow": "tensorflow"}
#: Environment variables by which numerical libraries choose how many threads they start.
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Machine:
    """Cores that this process may use, and GPUs by the names that CUDA_VISIBLE_DEVICES takes."""

    cores: int
    gpus: tuple[str, ...]

    def threads_for(self, instances: int) -> int:
        """Threads of one of so many CPU instances that share the cores."""
        return max(1, self.cores // max(instances, 1))

    def environment(self, instance: InstanceSpec, threads: int) -> dict[str, str]:
        """What a worker's environment adds: a GPU instance sees its GPU and no other, a CPU instance none."""
        environment = {name: os.environ.get(name, str(threads)) for name in _THREAD_VARIABLES}
        # ONNX Runtime writes usage data below the home directory and can send them, unless told before it is imported.
        environment["ORT_DISABLE_TELEMETRY"] = "1"
        environment["CUDA_DEVICE_ORDER"] = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        environment["CUDA_VISIBLE_DEVICES"] = self.gpus[instance.device_id] if instance.kind == "GPU" else ""
        if instance.kind == "MODEL":
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        return environment


def this_machine(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> Machine:
    """The machine that this process runs on, as far as its environment lets it see."""
    return Machine(len(os.sched_getaffinity(0)), _gpus(environment, devices))


def backend_uses_gpu(backend: str) -> bool:
    """True where the installed build of a backend's framework can run on a GPU."""
    distribution = _CUDA_DISTRIBUTIONS.get(backend)
    if distribution is None:
        return False
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _gpus(environment: Mapping[str, str], devices: Path) -> tuple[str, ...]:
    if "TRITON_SERVER_CPU_ONLY" in environment:
        return ()
    count = sum(1 for path in devices.glob("nvidia[0-9]*"))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if count and visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    return tuple(str(number) for number in range(count))
