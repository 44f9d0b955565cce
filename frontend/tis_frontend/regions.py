"""The client regions that a frontend knows, and where in them a request may have its tensors. Triton's words throughout.

No frontend maps a region: workers read and write them. Traces of tensors alone copy from one.
"""

import os
from typing import Any

from tis.contracts import messages as m
from tis.contracts.inference import Place
from tis.errors import invalid, not_found
from tis_shm.region import RegionError, open_shared

_KIND_NAMES = {"system": "system", "cuda": "CUDA"}


class RegionTable:
    """Regions by name. Replaced as a whole when the supervisor publishes a new epoch."""

    def __init__(self) -> None:
        self.epoch = -1
        #: Those that everybody may name, and those that one direct client may, by client and name.
        self._regions: dict[str, m.Region] = {}
        self._of_clients: dict[tuple[str, str], m.Region] = {}

    def replace(self, table: m.Regions) -> bool:
        """Take over a newer table. False where it is none."""
        if table.epoch <= self.epoch:
            return False
        self.epoch = table.epoch
        self._regions = {region.name: region for region in table.regions if not region.client}
        self._of_clients = {(region.client, region.name): region for region in table.regions if region.client}
        return True

    def of_client(self, client: str, name: str) -> m.Region | None:
        """The region that a direct client calls so, where it has one."""
        return self._of_clients.get((client, name))

    def place(self, name: str, start: int, size_bytes: int, client: str = "") -> Place:
        """A tensor's place in a region, `start` counting from the region's begin; `client`: the direct client that asks.

        Raises:
            TisError: NOT_FOUND for an unknown region, INVALID_ARG for a place outside of it.
        """
        region = self._regions.get(name)
        if client:
            region = self._of_clients.get((client, name), region)
        if region is None:
            raise not_found(f"Unable to find shared memory region: '{name}'")
        if not 0 <= start < region.size_bytes:
            raise invalid(f"Invalid offset for shared memory region: '{name}'")
        # Triton takes no bytes at the very begin for a place outside, and clients see it with each forgotten size.
        if not (start or size_bytes) or size_bytes < 0 or start + size_bytes > region.size_bytes:
            raise invalid(f"Invalid offset + byte size for shared memory region: '{name}'")
        return Place(region.number, start, size_bytes)

    def read(self, number: int, start: int, size_bytes: int) -> bytes:
        """A copy of bytes in a system region; empty where they cannot be had, as of CUDA memory."""
        for region in (*self._regions.values(), *self._of_clients.values()):
            if region.number == number and region.kind == "system":
                try:
                    # The supervisor has it open.
                    fd = open_shared(os.getppid(), region.fd, region.key, region.identity)
                except RegionError:
                    return b""
                try:
                    data = os.pread(fd, size_bytes, region.offset + start)
                finally:
                    os.close(fd)
                return data if len(data) == size_bytes else b""
        return b""

    def status(self, name: str, kind: str) -> list[m.Region]:
        """The region of this name, or all of this kind for an empty name, by name.

        Raises:
            TisError: NOT_FOUND where there is none of this name and kind.
        """
        if not name:
            return [region for _, region in sorted(self._regions.items()) if region.kind == kind]
        region = self._regions.get(name)
        if region is None:
            raise not_found(f"Unable to find {kind} shared memory region: '{name}'")
        if region.kind != kind:
            raise not_found(
                f"The region named '{name}' is registered as {_KIND_NAMES[region.kind]} shared memory, not "
                f"{_KIND_NAMES[kind]} shared memory"
            )
        return [region]


#: For requests that are read where there are no regions.
NO_REGIONS = RegionTable()


def row(region: m.Region) -> dict[str, Any]:
    """A region as its status tells it."""
    if region.kind == "cuda":
        return {"name": region.name, "device_id": region.device_id, "byte_size": region.size_bytes}
    return {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.size_bytes}
