"""What `tis serve` runs: takes the machine's resources in order, serves, gives them back."""

import os
import sys

import msgspec

from tis.errors import TisError
from tis.log import configure, get_logger
from tis.log_output import FileOutput
from tis.runtime_dir import RuntimeDir
from tis.settings import ServerSettings
from tis.supervisor.activation import inherited_ports
from tis.supervisor.addresses import Port, ReservedPort
from tis.supervisor.apps import Apps
from tis.supervisor.cache import check_cache
from tis.supervisor.certificates import check_certificates
from tis.supervisor.direct_address import reserve_direct
from tis.supervisor.file_limit import raise_file_limit
from tis.supervisor.machine import usable_cores
from tis.supervisor.supervisor import Supervisor
from tis.supervisor.systemd import Systemd
from tis_shm.limits import choose_pool_bytes, memory_limit_bytes
from tis_shm.pool import Pool, PoolError

_log = get_logger(__name__)


def run(settings: ServerSettings) -> int:
    """Serve until told to stop. Returns the exit code: 0 after an orderly stop, else 1."""
    configure(settings.log)
    raise_file_limit()
    runtime_dir: RuntimeDir | None = None
    ports: list[Port] = []
    apps: Apps | None = None
    try:
        systemd = Systemd(os.environ)
        check_certificates(settings)
        check_cache(settings)
        if settings.access_log not in ("", "-"):
            # Frontends write it; one that cannot be written is told of now.
            FileOutput(settings.access_log).close()
        passed = inherited_ports(systemd, settings, settings.frontend_count(usable_cores()))
        ports += passed.values()
        http: Port | None = passed.get("http")
        if http is None:
            http = _reserve("HTTP", settings.allow_http, settings.http_address, settings.http_port, ports)
        grpc: Port | None = passed.get("grpc")
        if grpc is None:
            grpc = _reserve("GRPC", settings.allow_grpc, settings.grpc_address, settings.grpc_port, ports)
        metrics: Port | None = passed.get("metrics")
        if metrics is None:
            metrics = _reserve("Metrics", settings.allow_metrics, settings.metrics_host, settings.metrics_port, ports)
        direct = reserve_direct(settings)
        if direct is not None:
            ports.append(direct)
        pool = Pool.create(choose_pool_bytes(settings.pool_byte_size, memory_limit_bytes()))
        runtime_dir = RuntimeDir(settings.runtime_directory)
        apps = Apps(settings.apps, runtime_dir.path)
        apps.publish()
        settings = msgspec.structs.replace(
            settings, model_repositories=(*settings.model_repositories, *apps.repositories)
        )
        supervisor = Supervisor(settings, pool, runtime_dir, http, grpc, metrics, systemd, direct)
        if settings.model_control_mode == "poll":
            apps.follow(settings.repository_poll_s, supervisor.later)
        return supervisor.run()
    except (TisError, PoolError, OSError) as error:
        spoken = f"{error.code.spoken} - " if isinstance(error, TisError) else ""
        sys.stderr.write(f"error: creating server: {spoken}{error}\n")
        return 1
    finally:
        if apps is not None:
            apps.close()
        for port in ports:
            port.close()
        if runtime_dir is not None:
            runtime_dir.remove()


def _reserve(service: str, allowed: bool, address: str, port: int, ports: list[Port]) -> Port | None:
    if not allowed:
        return None
    reserved = ReservedPort(service, address, port)
    ports.append(reserved)
    return reserved
