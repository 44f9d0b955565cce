"""The regions of one direct client: granted or registered under names of its own, and gone when it has gone."""

import os
import re
import secrets
from typing import Any, Final

from tis.contracts import messages as m
from tis.errors import internal, invalid, not_found, unavailable, unsupported
from tis_frontend.direct import messages as dm
from tis_frontend.region_calls import check_allowed
from tis_frontend.server import Server

#: Regions that one client may have at once, and the bytes of one.
MOST_REGIONS: Final = 64
MOST_REGION_BYTES: Final = 16 << 30
#: The key of an anonymous object that the client itself has open.
_OWN_DESCRIPTOR: Final = re.compile(r"/proc/self/fd/([0-9]{1,9})", re.ASCII)


class ClientRegions:
    """What one client holds. `client` is what the server calls it, which nobody else can guess."""

    def __init__(self, server: Server, client: str) -> None:
        self._server: Final = server
        self.client: Final = client
        #: Its process, where that is known for sure, else 0.
        self.pid = 0
        #: Those that are there or on their way.
        self._names: set[str] = set()

    @staticmethod
    def limits() -> dict[str, int]:
        """What a client is told of them."""
        return {"regions": MOST_REGIONS, "region_bytes": MOST_REGION_BYTES}

    async def grant(self, message: dm.Grant) -> dict[str, Any]:
        """Have the server make a region.

        Raises:
            TisError: it may not be, or cannot be now.
        """
        if not 0 < message.size <= MOST_REGION_BYTES:
            raise invalid(f"a region has between 1 and {MOST_REGION_BYTES} bytes, not {message.size}")
        # No name that a client would choose, and never the same twice.
        name = f"granted-{secrets.token_hex(8)}"
        client = self.client
        await self._ask(name, lambda call_id, peer: m.GrantRegion(call_id, peer, client, name, message.size))
        region = self._server.core.regions.of_client(client, name)
        if region is None:
            raise internal("the region that was granted is gone already")
        device, inode = region.identity
        # The supervisor, this process's parent, has it open.
        path = f"/proc/{os.getppid()}/fd/{region.fd}"
        about = {"path": path, "size": region.size_bytes, "device": device, "inode": inode}
        return {"type": "granted", "region": name, **about}

    async def register(self, message: dm.Register) -> dict[str, Any]:
        """Take note of an object that the client has made.

        Raises:
            TisError: it may not be, or is not there as described.
        """
        name, key, offset, size = message.region, message.key, message.offset, message.size
        own = _OWN_DESCRIPTOR.fullmatch(key)
        if own is not None and not self.pid:
            raise unsupported(f"'{key}' can be registered by a client that has connected over ipc:// only")
        pid, fd = (self.pid, int(own[1])) if own is not None else (0, 0)
        await self._ask(
            name,
            lambda call_id, peer: m.RegisterRegion(
                call_id, peer, name, "system", key, offset, size, client=self.client, pid=pid, fd=fd
            ),
        )
        return {"type": "done"}

    async def release(self, message: dm.Release) -> dict[str, Any]:
        """Forget a region.

        Raises:
            TisError: NOT_FOUND where this client has none of that name.
        """
        name = message.region
        if name not in self._names or self._server.core.regions.of_client(self.client, name) is None:
            raise not_found(f"Unable to find shared memory region: '{name}'")
        self._names.discard(name)
        await self._server.calls.ask(
            lambda call_id, peer: m.UnregisterRegion(call_id, peer, name, "system", self.client)
        )
        return {"type": "done"}

    def end(self) -> None:
        """The client has gone. Calls on their way are done before this one, so that nothing of theirs stays either."""
        if self._names:
            self._names.clear()
            self._server.calls.send(lambda call_id, peer: m.UnregisterRegion(call_id, peer, "", "system", self.client))

    async def _ask(self, name: str, make: Any) -> None:
        check_allowed(self._server)
        if name not in self._names and len(self._names) >= MOST_REGIONS:
            raise unavailable(f"a client has at most {MOST_REGIONS} regions; release some")
        is_new = name not in self._names
        self._names.add(name)
        try:
            await self._server.calls.ask(make)
        except BaseException:
            if is_new:
                self._names.discard(name)
            raise
