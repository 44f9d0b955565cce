"""Regions of direct clients: granted within bounds, under names of their own, and gone with their client or its frontend."""

import os
from collections.abc import Iterator

import pytest

from tests.harness.shared_memory import SharedObjects, shared_objects
from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis.supervisor.regions import ClientRegions

__all__ = ["shared_objects"]

MOST_BYTES = 1 << 20


class World:
    """Regions, and what was said of them."""

    def __init__(self) -> None:
        self.tables: list[m.Regions] = []
        self.regions = ClientRegions((), self._publish, lambda _peer, _message: None, MOST_BYTES)

    def _publish(self, table: m.Regions) -> set[int]:
        self.tables.append(table)
        return set()

    def grant(self, client: str, name: str, size_bytes: int, peer: int = 2) -> m.Region:
        self.regions.grant(m.GrantRegion(1, peer, client, name, size_bytes))
        return self.tables[-1].regions[-1]

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(region.client, region.name) for region in self.tables[-1].regions]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.regions.close()


def test_a_granted_region_is_an_object_of_its_size_that_nobody_can_resize(world: World) -> None:
    region = world.grant("a", "x", 8192)
    about = os.fstat(region.fd)
    assert (about.st_size, (about.st_dev, about.st_ino)) == (8192, region.identity)
    for size in (0, 10_000):
        with pytest.raises(PermissionError):
            os.ftruncate(region.fd, size)


def test_all_that_is_granted_has_a_bound(world: World) -> None:
    world.grant("a", "x", MOST_BYTES - 10)
    with pytest.raises(TisError, match="10 of 1048576 bytes are left") as refused:
        world.grant("b", "y", 11)
    assert refused.value.code is Code.UNAVAILABLE
    world.grant("b", "y", 10)
    world.regions.unregister(m.UnregisterRegion(2, 2, "x", "system", "a"))
    world.grant("b", "z", MOST_BYTES - 10)


def test_names_are_those_of_one_client(world: World, shared_objects: SharedObjects) -> None:
    made = shared_objects.make(bytes(64))
    for client in ("", "a", "b"):
        world.regions.register(m.RegisterRegion(1, 2, "r", "system", made.key, 0, 64, client=client))
    with pytest.raises(TisError, match="already in manager"):
        world.grant("a", "r", 64)
    world.regions.unregister(m.UnregisterRegion(2, 2, "", "system", "a"))
    assert world.names == [("", "r"), ("b", "r")]
    world.regions.unregister(m.UnregisterRegion(2, 2, "", "system"))
    assert world.names == [("b", "r")]


def test_a_frontend_that_dies_takes_its_clients_regions_along(world: World, shared_objects: SharedObjects) -> None:
    made = shared_objects.make(bytes(64))
    world.regions.register(m.RegisterRegion(1, 2, "r", "system", made.key, 0, 64))
    gone = world.grant("a", "x", 64, peer=2)
    world.grant("b", "y", 64, peer=3)
    world.regions.peer_down(9)
    assert world.names == [("", "r"), ("a", "x"), ("b", "y")]
    world.regions.peer_down(2)
    assert world.names == [("", "r"), ("b", "y")]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(gone.fd)
    world.grant("c", "z", MOST_BYTES - 64, peer=3)
