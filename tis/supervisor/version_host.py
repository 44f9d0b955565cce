"""What a model version needs of the supervisor. No logic."""

from typing import Protocol

from tis.contracts import messages as m
from tis.supervisor.child import Child
from tis.supervisor.instances import InstancesHost
from tis.supervisor.machine import Machine
from tis.supervisor.placement import Placement


class VersionHost(InstancesHost, Protocol):
    """What a version needs of the supervisor."""

    @property
    def machine(self) -> Machine:
        """Cores and GPUs."""

    @property
    def stop_has_begun(self) -> bool:
        """Whether the server is on its way out."""

    @property
    def model_load_timeout_s(self) -> float:
        """How long an instance may take to load, unless its model says; 0 for any time."""

    def launch_worker(self, peer: int, environment: dict[str, str], where: Placement) -> Child:
        """Start a worker process."""

    def send(self, peer: int, *messages: m.Message) -> None:
        """Send to one child."""
