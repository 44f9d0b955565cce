"""Where the server of `tools/run` is to listen and what it is to serve, found out before it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tis.cli.parser import UsageError, parse_flags
from tis.errors import TisError
from tis.repository.layout import scan
from tis.settings import ServerSettings
from tis.supervisor.addresses import ReservedPort
from tools.environment import ROOT

EXAMPLES = ROOT / "model_repository"
_EVERY_INTERFACE = ("0.0.0.0", "::")


class CannotStartError(Exception):
    """The server would not start; the text says why and what to do."""


@dataclass(frozen=True)
class Place:
    """Where the server will be."""

    flags: tuple[str, ...]
    http: str
    #: Empty where gRPC is off.
    grpc: str
    models: tuple[str, ...]

    @property
    def is_of_examples(self) -> bool:
        """Whether our own models are served, not somebody's that may go by the same names."""
        return f"--model-repository={EXAMPLES}" in self.flags


def find_place(given: Sequence[str]) -> Place:
    """The place that the server's flags lead to.

    Raises:
        CannotStartError: a flag is wrong, a port is taken or a repository cannot be read.
    """
    examples = f"--model-repository={EXAMPLES}"
    try:
        settings = parse_flags([examples, *given], program="tools/run")
        flags = [examples, *given]
        if settings.model_repositories != (str(EXAMPLES),):
            # Somebody's own models take the place of the examples.
            settings, flags = parse_flags(given, program="tools/run"), list(given)
        models = tuple(scan([Path(each) for each in settings.model_repositories]).models)
    except UsageError as error:
        raise CannotStartError(error.message) from None
    except TisError as error:
        raise CannotStartError(error.message) from None
    if not settings.allow_http:
        raise CannotStartError("tools/run asks the server over HTTP, so --allow-http=false does not go with it")
    ports = _free_ports(settings)
    flags += [f"{flag}={port}" for flag, port in ports.items()]
    grpc = _reachable(settings.grpc_address, ports["--grpc-port"]) if settings.allow_grpc else ""
    return Place(tuple(flags), _reachable(settings.http_address, ports["--http-port"]), grpc, models)


def _free_ports(settings: ServerSettings) -> dict[str, int]:
    """The ports to use by their flags, in place of 0 one that is free."""
    wanted = [("HTTP", "--http-port", settings.http_address, settings.http_port)]
    if settings.allow_grpc:
        wanted.append(("GRPC", "--grpc-port", settings.grpc_address, settings.grpc_port))
    if settings.allow_metrics:
        wanted.append(("Metrics", "--metrics-port", settings.metrics_host, settings.metrics_port))
    reserved: dict[str, ReservedPort] = {}
    taken: list[str] = []
    instead: list[str] = []
    for service, flag, address, port in wanted:
        try:
            reserved[flag] = ReservedPort(service, address, port)
        except TisError as error:
            reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error.message
            taken.append(f"port {port} ({service}, {address}) cannot be used: {reason}")
            instead.append(f"{flag}={_next_free(address, port)}")
    for each in reserved.values():
        each.close()
    if taken:
        advice = f"Stop the program that uses it, or choose another port:\n  tools/run {' '.join(instead)}"
        raise CannotStartError("\n".join([*taken, advice]))
    return {flag: each.port for flag, each in reserved.items()}


def _next_free(address: str, port: int) -> int:
    """A free port to propose: a round step further where possible, else any."""
    for candidate in (*range(port + 10, min(port + 100, 65536), 10), 0):
        try:
            reserved = ReservedPort("", address, candidate)
        except TisError:
            continue
        reserved.close()
        return reserved.port
    return 0


def _reachable(address: str, port: int) -> str:
    """What a client on this machine dials for an address that is listened on."""
    host = "localhost" if address in _EVERY_INTERFACE else address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
