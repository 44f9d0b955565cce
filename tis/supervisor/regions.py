"""Shared memory that clients have registered by name: what may be registered, and who is told of it.

A call is answered when every frontend has the new table: whichever a client's next request reaches, a name means there
what it means to the client. Workers need not be waited for, since requests carry numbers.

The supervisor keeps each system object open, and everybody maps it through that descriptor: what is mapped is what was
registered, even where the client has removed the object's name since, or has given it to another.
"""

import os
import resource
from collections.abc import Callable, Iterable
from typing import Final

from tis.contracts import messages as m
from tis.errors import Code, TisError, internal, invalid, unavailable
from tis.supervisor.calls import Calls
from tis_shm.granted import make_granted
from tis_shm.region import RegionError, identity_of, object_bytes, open_object, open_sealed

#: Objects with such names belong to the server's own Python models.
RESERVED_PREFIX: Final = "triton_python_backend_shm_region_"
_HANDLE_BYTES: Final = 64

_Call = m.RegisterRegion | m.UnregisterRegion | m.GrantRegion


class ClientRegions:
    """The regions by name.

    `publish` sends the table to everybody who reads it and gives the frontends among them, `send` sends to one process.
    """

    def __init__(
        self,
        gpus: tuple[str, ...],
        publish: Callable[[m.Regions], Iterable[int]],
        send: Callable[[int, m.Message], None],
        most_granted_bytes: int = 0,
    ) -> None:
        self._gpus: Final = gpus
        self._most_granted_bytes: Final = most_granted_bytes
        self._publish: Final = publish
        self._send: Final = send
        #: Calls that are done but not answered yet, oldest first: their epoch, and the frontends that have not seen it.
        self._unanswered: list[tuple[int, set[int], _Call]] = []
        #: The number of the newest region. Numbers are never used again.
        self._newest = 0
        self._epoch = 0
        #: By the direct client that alone may name it (empty: everybody) and by name.
        self._regions: dict[tuple[str, str], m.Region] = {}
        #: The bytes of those that were granted, and the frontends of direct clients that have any.
        self._granted: dict[tuple[str, str], int] = {}
        self._frontend_of: dict[str, int] = {}
        # Half of the descriptors that this process may have: it needs the others for its children.
        self._most: Final = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def serve(self, calls: Calls) -> None:
        """Take the calls that concern regions."""
        calls.handle(m.RegisterRegion, self.register)
        calls.handle(m.GrantRegion, self.grant)
        calls.handle(m.UnregisterRegion, self.unregister)
        calls.handle(m.RegionsSeen, self.seen)

    def table(self) -> m.Regions:
        """All regions as they are now."""
        return m.Regions(self._epoch, tuple(self._regions.values()), self._newest)

    def _next_number(self) -> int:
        self._newest += 1
        return self._newest

    def register(self, call: m.RegisterRegion) -> bool:
        """Add a region; the reply follows when every frontend knows it.

        Raises:
            TisError: its name is taken, or the memory is not there as described; in Triton's words.
        """
        self._check_room(call)
        if call.kind == "cuda":
            region = self._cuda(call)
        else:
            fd = _open(call)
            region = m.Region(
                self._next_number(),
                call.name,
                call.kind,
                call.key,
                call.offset,
                call.size_bytes,
                fd=fd,
                identity=identity_of(fd),
                client=call.client,
            )
        return self._add(call, region)

    def grant(self, call: m.GrantRegion) -> bool:
        """Make a region for a direct client; the reply follows when every frontend knows it.

        Raises:
            TisError: UNAVAILABLE where too much is granted already.
        """
        self._check_room(call)
        left_bytes = self._most_granted_bytes - sum(self._granted.values())
        if call.size_bytes > left_bytes:
            raise unavailable(
                f"no room to grant a region of {call.size_bytes} bytes: {max(left_bytes, 0)} of "
                f"{self._most_granted_bytes} bytes are left; release some or start the server with a larger --pool-byte-size"
            )
        try:
            fd = make_granted(call.size_bytes)
        except RegionError as error:
            raise unavailable(str(error)) from None
        region = m.Region(
            self._next_number(),
            call.name,
            "system",
            f"/proc/{os.getpid()}/fd/{fd}",
            0,
            call.size_bytes,
            fd=fd,
            identity=identity_of(fd),
            client=call.client,
        )
        self._granted[call.client, call.name] = call.size_bytes
        return self._add(call, region)

    def unregister(self, call: m.UnregisterRegion) -> bool:
        """Forget a region of a kind, or all of that kind. What is not there is no error."""
        gone = [
            region
            for region in self._regions.values()
            if region.client == call.client and region.kind == call.kind and call.name in ("", region.name)
        ]
        if not gone:
            return False
        self._drop(gone)
        self._changed(call)
        return True

    def seen(self, seen: m.RegionsSeen) -> bool:
        """A frontend has a table."""
        for epoch, awaited, _ in self._unanswered:
            if epoch <= seen.epoch:
                awaited.discard(seen.peer)
        self._answer()
        return True

    def peer_down(self, peer: int) -> None:
        """A process has died: nothing is awaited of it any more."""
        for _, awaited, _ in self._unanswered:
            awaited.discard(peer)
        self._answer()
        clients = {client for client, frontend in self._frontend_of.items() if frontend == peer}
        if clients:
            # The connections of these ended with their frontend.
            self._drop([region for region in self._regions.values() if region.client in clients])
            self._epoch += 1
            self._publish(self.table())

    def close(self) -> None:
        """Give every object up."""
        _close(self._regions.values())
        self._regions.clear()
        self._granted.clear()

    def _cuda(self, call: m.RegisterRegion) -> m.Region:
        if not self._gpus:
            raise invalid(f"failed to register CUDA shared memory region: '{call.name}', GPUs not supported")
        if len(call.handle) != _HANDLE_BYTES or not 0 <= call.device_id < len(self._gpus) or call.size_bytes < 1:
            raise invalid("failed to register shared memory region: invalid args")
        # The handle is opened by the first worker that needs it: this process has nothing to do with CUDA.
        gpu = self._gpus[call.device_id]
        return m.Region(self._next_number(), call.name, call.kind, gpu, 0, call.size_bytes, call.device_id, call.handle)

    def _check_room(self, call: m.RegisterRegion | m.GrantRegion) -> None:
        if (call.client, call.name) in self._regions:
            raise TisError(Code.ALREADY_EXISTS, f"shared memory region '{call.name}' already in manager")
        if len(self._regions) >= self._most:
            raise unavailable(f"{self._most} shared memory regions are registered already; unregister some")

    def _add(self, call: m.RegisterRegion | m.GrantRegion, region: m.Region) -> bool:
        self._regions[region.client, region.name] = region
        if region.client:
            self._frontend_of[region.client] = call.peer
        return self._changed(call)

    def _drop(self, gone: list[m.Region]) -> None:
        for region in gone:
            del self._regions[region.client, region.name]
            self._granted.pop((region.client, region.name), None)
        left = {client for client, _ in self._regions}
        for client in {region.client for region in gone} - left:
            self._frontend_of.pop(client, None)
        _close(gone)

    def _changed(self, call: _Call) -> bool:
        self._epoch += 1
        frontends = set(self._publish(self.table()))
        self._unanswered.append((self._epoch, frontends, call))
        self._answer()
        return True

    def _answer(self) -> None:
        """Answer the calls whose outcome every frontend knows."""
        while self._unanswered and not self._unanswered[0][1]:
            _, _, call = self._unanswered.pop(0)
            self._send(call.peer, m.CallReply(call.call_id))


def _open(call: m.RegisterRegion) -> int:
    """The object of a call that describes it truly."""
    if call.key.lstrip("/").startswith(RESERVED_PREFIX):
        raise invalid(
            f"cannot register shared memory region '{call.name}' with key '{call.key}' as the key contains the reserved "
            f"prefix '{RESERVED_PREFIX}'"
        )
    try:
        fd = open_sealed(call.pid, call.fd) if call.pid else open_object(call.key)
    except RegionError as error:
        if call.pid:
            raise internal(f"Unable to open shared memory region: '{call.key}': {error}") from None
        raise internal(f"Unable to open shared memory region: '{call.key}'") from None
    if call.offset + call.size_bytes > object_bytes(fd):
        os.close(fd)
        raise invalid(f"failed to register shared memory region '{call.name}': invalid args")
    if not call.size_bytes:
        os.close(fd)
        raise invalid(
            f"failed to register shared memory region '{call.name}': unable to process address spaceInvalid argument"
        )
    return fd


def _close(regions: Iterable[m.Region]) -> None:
    for region in regions:
        if region.fd >= 0:
            os.close(region.fd)
