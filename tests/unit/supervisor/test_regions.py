"""Registering clients' regions: who is refused in which words, and what everybody is told."""

import os
from pathlib import Path

import pytest

from tests.harness.shared_memory import SharedObjects, shared_objects
from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis.supervisor.regions import ClientRegions

__all__ = ["shared_objects"]


class Published:
    """Regions whose tables are kept."""

    def __init__(self, gpus: tuple[str, ...] = ()) -> None:
        self.tables: list[m.Regions] = []
        self.frontends: set[int] = set()
        self.replies: list[int] = []
        self.regions = ClientRegions(gpus, self._publish, self._send)

    def _publish(self, table: m.Regions) -> set[int]:
        self.tables.append(table)
        return self.frontends

    def _send(self, peer: int, message: m.Message) -> None:
        assert isinstance(message, m.CallReply)
        assert (peer, message.code) == (2, "")
        self.replies.append(message.call_id)

    def seen(self, peer: int) -> None:
        self.regions.seen(m.RegionsSeen(peer, self.tables[-1].epoch))

    def register(self, name: str, key: str, size_bytes: int, offset: int = 0) -> None:
        self.regions.register(m.RegisterRegion(1, 2, name, "system", key, offset, size_bytes))

    def register_cuda(self, name: str, handle: bytes = b"h" * 64, device_id: int = 0, size_bytes: int = 4) -> None:
        self.regions.register(m.RegisterRegion(1, 2, name, "cuda", "", 0, size_bytes, device_id, handle))

    def unregister(self, name: str, kind: str = "system") -> None:
        self.regions.unregister(m.UnregisterRegion(1, 2, name, kind))

    @property
    def names(self) -> list[str]:
        return [region.name for region in self.regions.table().regions]

    def refusal(self, name: str, key: str, size_bytes: int, offset: int = 0) -> tuple[Code, str]:
        before = self.regions.table()
        with pytest.raises(TisError) as refused:
            self.register(name, key, size_bytes, offset)
        assert self.regions.table() == before
        return refused.value.code, refused.value.message


def test_a_region_is_told_to_everybody_with_the_object_that_was_registered(shared_objects: SharedObjects) -> None:
    published = Published()
    made = shared_objects.make(bytes(100))
    published.register("r", made.key, 60, 40)
    (table,) = published.tables
    (region,) = table.regions
    assert (region.name, region.kind, region.key, region.offset, region.size_bytes) == ("r", "system", made.key, 40, 60)
    about = made.path.stat()
    assert region.identity == (about.st_dev, about.st_ino)
    assert os.fstat(region.fd).st_ino == about.st_ino
    published.regions.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(region.fd)


def test_epochs_rise_and_numbers_are_never_used_again(shared_objects: SharedObjects) -> None:
    published = Published()
    key = shared_objects.make(b"x").key
    for _ in range(3):
        published.register("r", key, 1)
        published.unregister("r")
    epochs = [table.epoch for table in published.tables]
    assert epochs == sorted(set(epochs))
    numbers = [region.number for table in published.tables for region in table.regions]
    assert len(set(numbers)) == 3
    assert 0 not in numbers


def test_unregistering_what_is_not_there_tells_nobody(shared_objects: SharedObjects) -> None:
    published = Published()
    published.register("r", shared_objects.make(b"x").key, 1)
    told = len(published.tables)
    published.unregister("other")
    published.unregister("r", "cuda")
    published.unregister("", "cuda")
    assert len(published.tables) == told
    assert published.names == ["r"]


def test_all_regions_of_a_kind_are_unregistered_at_once(shared_objects: SharedObjects) -> None:
    published = Published(("0",))
    for name in ("a", "b"):
        published.register(name, shared_objects.make(b"x").key, 1)
    published.register_cuda("c")
    published.unregister("")
    assert published.names == ["c"]
    published.unregister("", "cuda")
    assert published.names == []
    published.regions.close()


def test_refusals_are_in_tritons_words(shared_objects: SharedObjects) -> None:
    published = Published()
    key = shared_objects.make(bytes(10)).key
    published.register("taken", key, 10)
    assert published.refusal("taken", "/nowhere", 1) == (
        Code.ALREADY_EXISTS,
        "shared memory region 'taken' already in manager",
    )
    assert published.refusal("r", "/tis-nowhere", 1) == (
        Code.INTERNAL,
        "Unable to open shared memory region: '/tis-nowhere'",
    )
    too_much = (Code.INVALID_ARG, "failed to register shared memory region 'r': invalid args")
    assert published.refusal("r", key, 11) == too_much
    assert published.refusal("r", key, 1, 10) == too_much
    assert published.refusal("r", key, (1 << 64) - 1, (1 << 64) - 1) == too_much
    assert published.refusal("r", key, 0)[0] is Code.INVALID_ARG
    reserved = published.refusal("r", "/triton_python_backend_shm_region_7", 1)
    assert reserved[0] is Code.INVALID_ARG
    assert "reserved prefix 'triton_python_backend_shm_region_'" in reserved[1]


def test_a_refused_region_leaves_no_descriptor_open(shared_objects: SharedObjects) -> None:
    published = Published()
    key = shared_objects.make(bytes(10)).key
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for size_bytes in (11, 0):
        published.refusal("r", key, size_bytes)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_two_regions_may_share_an_object(shared_objects: SharedObjects) -> None:
    published = Published()
    key = shared_objects.make(bytes(10)).key
    published.register("a", key, 5)
    published.register("b", key, 5, 5)
    assert published.names == ["a", "b"]


def test_without_a_gpu_cuda_regions_are_refused() -> None:
    with pytest.raises(TisError) as refused:
        Published().register_cuda("a")
    assert refused.value.code is Code.INVALID_ARG
    assert refused.value.message == "failed to register CUDA shared memory region: 'a', GPUs not supported"


@pytest.mark.parametrize("given", [{"handle": b"h" * 63}, {"device_id": 2}, {"device_id": -1}, {"size_bytes": 0}])
def test_cuda_regions_are_checked_as_far_as_that_goes_without_cuda(given: dict[str, int]) -> None:
    published = Published(("0", "3"))
    with pytest.raises(TisError, match="failed to register shared memory region: invalid args"):
        published.register_cuda("a", **given)  # type: ignore[arg-type]
    assert published.names == []


def test_a_cuda_region_names_its_gpu_as_workers_know_it() -> None:
    published = Published(("0", "3"))
    published.register_cuda("a", device_id=1)
    assert [region.key for region in published.regions.table().regions] == ["3"]


def test_regions_leave_the_server_descriptors_for_its_children(
    shared_objects: SharedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (8, 8))
    published = Published()
    key = shared_objects.make(b"x").key
    for number in range(4):
        published.register(f"r{number}", key, 1)
    assert published.refusal("one more", key, 1)[0] is Code.UNAVAILABLE
    published.unregister("r2")
    published.register("one more", key, 1)
    published.regions.close()


def test_a_call_is_answered_when_every_frontend_knows_its_outcome(shared_objects: SharedObjects) -> None:
    published = Published()
    published.frontends = {5, 6}
    published.register("r", shared_objects.make(b"x").key, 1)
    assert published.replies == []
    published.seen(5)
    published.seen(5)
    assert published.replies == []
    published.seen(6)
    assert published.replies == [1]


def test_a_frontend_that_has_seen_a_newer_table_has_seen_the_older_ones(shared_objects: SharedObjects) -> None:
    published = Published()
    published.frontends = {5}
    published.register("r", shared_objects.make(b"x").key, 1)
    published.unregister("r")
    published.regions.seen(m.RegionsSeen(5, published.tables[0].epoch))
    assert published.replies == [1]
    published.seen(5)
    assert published.replies == [1, 1]


def test_a_frontend_that_dies_holds_no_call_up(shared_objects: SharedObjects) -> None:
    published = Published()
    published.frontends = {5, 6}
    published.register("r", shared_objects.make(b"x").key, 1)
    published.seen(6)
    published.regions.peer_down(5)
    assert published.replies == [1]
