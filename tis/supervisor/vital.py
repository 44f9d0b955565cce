"""The places of the scheduler and the frontends: the processes without which nothing is served."""

from collections.abc import Callable
from pathlib import Path

from tis.supervisor.addresses import Port
from tis.supervisor.child import Child
from tis.supervisor.place import Host, Place


class VitalPlaces:
    """One place for the scheduler, one for each frontend, whose listening sockets outlive its processes."""

    def __init__(
        self,
        host: Host,
        runtime_dir: Path,
        pool_fd: int,
        ports: tuple[Port | None, Port | None, Port | None, Port | None],
        frontends: int,
        is_read: Callable[[int], bool],
    ) -> None:
        """`ports`: of HTTP, metrics, gRPC where the transport takes its socket over, and direct clients.

        `is_read`: whether anybody may still read what was a dead process's.

        A restarted frontend gets the range of the one before: it starts when nobody does.
        """
        self.scheduler = Place(host, "the scheduler", lambda peer: Child("tis.scheduler", peer, runtime_dir, pool_fd))
        self._listening = [[port.listen() if port else None for port in ports] for _ in range(frontends)]
        self.frontends = [self._frontend(host, index, runtime_dir, pool_fd) for index in range(frontends)]
        for place in self.frontends:
            place.may_start = lambda previous: not is_read(previous)

    def _frontend(self, host: Host, index: int, runtime_dir: Path, pool_fd: int) -> Place:
        http_fd, metrics_fd, grpc_fd, zmq_fd = [each.fileno() if each else -1 for each in self._listening[index]]
        return Place(
            host,
            f"frontend {index}",
            lambda peer: Child(
                "tis_frontend",
                peer,
                runtime_dir,
                pool_fd,
                http_fd=http_fd,
                metrics_fd=metrics_fd,
                grpc_fd=grpc_fd,
                zmq_fd=zmq_fd,
            ),
        )

    def begin(self, give_up: Callable[[str], None]) -> tuple[Place, list[Place]]:
        """The places; `give_up` is called with the reason when a process dies again and again."""
        for place in (self.scheduler, *self.frontends):
            place.on_give_up = give_up
        return self.scheduler, self.frontends

    def stop_listening(self) -> None:
        """No frontend is started any more, and who connects is refused; unless somebody else holds the ports, too."""
        for place in self.frontends:
            place.start_no_other()
        for sockets in self._listening:
            for each in sockets:
                if each is not None:
                    each.close()
