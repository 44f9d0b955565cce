"""What clients ask about regions: register, unregister, status. Both faces translate to these."""

from tis.contracts import messages as m
from tis.errors import unsupported
from tis_frontend.server import Server

_DISABLED = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."


def check_allowed(server: Server) -> None:
    """Raise UNSUPPORTED where the operator does not want clients' memory."""
    if not server.settings.allow_client_shm:
        raise unsupported(_DISABLED)


async def register_system(server: Server, name: str, key: str, offset: int, size_bytes: int) -> None:
    """Register a POSIX object.

    Raises:
        TisError: the server does not allow it, or not this region.
    """
    check_allowed(server)
    await server.calls.ask(
        lambda call_id, peer: m.RegisterRegion(call_id, peer, name, "system", key, offset, size_bytes)
    )


async def register_cuda(server: Server, name: str, handle: bytes, device_id: int, size_bytes: int) -> None:
    """Register device memory by its IPC handle.

    Raises:
        TisError: the server does not allow it, or not this region.
    """
    check_allowed(server)
    await server.calls.ask(
        lambda call_id, peer: m.RegisterRegion(call_id, peer, name, "cuda", "", 0, size_bytes, device_id, handle)
    )


async def unregister(server: Server, name: str, kind: str) -> None:
    """Forget a region, or all of a kind for an empty name.

    Raises:
        TisError: the server does not allow it.
    """
    check_allowed(server)
    await server.calls.ask(lambda call_id, peer: m.UnregisterRegion(call_id, peer, name, kind))


def status(server: Server, name: str, kind: str) -> list[m.Region]:
    """The regions of a kind, or the one of this name.

    Raises:
        TisError: there is none of this name, or the server does not allow it.
    """
    check_allowed(server)
    return server.core.regions.status(name, kind)
