"""Clients' regions in a worker: mapped at first use, kept for who is on the way, never mistaken for another."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.shared_memory import SharedObject, SharedObjects, shared_objects
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_shm.region import open_object
from tis_workers import regions as tested
from tis_workers.regions import ClientRegions, Placements

__all__ = ["shared_objects"]

SPEC = ModelSpec("m", 1, "", "onnxruntime", 0, (), (TensorSpec("X", "FP32", (-1,)), TensorSpec("Y", "FP32", (-1,))))


class Registry:
    """The supervisor, as far as a worker sees it: it keeps objects open and tells tables."""

    def __init__(self) -> None:
        self.regions: list[m.Region] = []
        self._epoch = 0
        self._fds: list[int] = []

    def add(self, made: SharedObject, size_bytes: int, offset: int = 0, name: str = "r") -> int:
        fd = open_object(made.key)
        self._fds.append(fd)
        about = os.fstat(fd)
        number = len(self._fds)
        identity = (about.st_dev, about.st_ino)
        self.regions.append(m.Region(number, name, "system", made.key, offset, size_bytes, fd=fd, identity=identity))
        return number

    def table(self) -> m.Regions:
        self._epoch += 1
        return m.Regions(self._epoch, tuple(self.regions), len(self._fds))


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(tested, "time", made)
    return made


@pytest.fixture(autouse=True)
def own_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry lives in this process, not in its parent."""
    monkeypatch.setattr(os, "getppid", os.getpid)


def refused(action: Callable[[], object]) -> tuple[Code, str]:
    with pytest.raises(TisError) as error:
        action()
    return error.value.code, error.value.message


def test_a_region_is_mapped_once_and_written_in_place(shared_objects: SharedObjects) -> None:
    registry, regions = Registry(), ClientRegions()
    made = shared_objects.make(bytes(range(64)))
    number = registry.add(made, 32, 16)
    regions.replace(registry.table())
    assert regions.mapped == 0, "nothing is mapped before it is used"
    assert bytes(regions.view(number, 2, 3)) == bytes([18, 19, 20])
    regions.write(number, 0, memoryview(b"in"))
    assert made.read(16, 2) == b"in"
    assert regions.mapped == 1
    regions.close()


def test_the_news_of_a_region_is_waited_for(shared_objects: SharedObjects, clock: Clock) -> None:
    registry = Registry()
    regions = ClientRegions(lambda: news())
    looks = 0
    number = registry.add(shared_objects.make(b"news"), 4)

    def news() -> bool:
        nonlocal looks
        looks += 1
        clock.now_s += 1
        if looks == 3:
            regions.replace(registry.table())
        return True

    assert bytes(regions.view(number, 0, 4)) == b"news"
    assert looks == 3
    assert refused(lambda: regions.view(number + 1, 0, 4))[0] is Code.NOT_FOUND
    assert looks == 3 + 5, "not for ever"
    regions.close()


def test_a_region_that_has_gone_is_not_waited_for(shared_objects: SharedObjects) -> None:
    def news() -> bool:
        raise AssertionError("nothing can come")

    registry, regions = Registry(), ClientRegions(news)
    registry.add(shared_objects.make(b"gone"), 4)
    registry.regions.clear()
    regions.replace(registry.table())
    assert refused(lambda: regions.view(1, 0, 4))[0] is Code.NOT_FOUND
    regions.close()


def test_an_unregistered_region_serves_requests_on_their_way_and_goes_then(
    shared_objects: SharedObjects, clock: Clock
) -> None:
    registry, regions = Registry(), ClientRegions()
    number = registry.add(shared_objects.make(b"data"), 4)
    regions.replace(registry.table())
    view = regions.view(number, 0, 4)
    registry.regions.clear()
    regions.replace(registry.table())
    regions.tidy()
    assert bytes(regions.view(number, 0, 4)) == b"data"
    clock.now_s += 10
    regions.tidy()
    assert regions.mapped == 1, "a request still reads it"
    view.release()
    regions.tidy()
    assert regions.mapped == 0
    assert refused(lambda: regions.view(number, 0, 4))[0] is Code.NOT_FOUND


@pytest.mark.parametrize("name_is_there", [True, False])
def test_an_unregistered_region_that_was_never_used_is_never_mistaken_for_another(
    shared_objects: SharedObjects, name_is_there: bool
) -> None:
    registry, regions = Registry(), ClientRegions()
    made = shared_objects.make(b"data")
    number = registry.add(made, 4)
    regions.replace(registry.table())
    # The supervisor's descriptor leads to another object by then.
    fd = open_object(shared_objects.make(b"else").key)
    os.dup2(fd, registry.regions[0].fd)
    registry.regions.clear()
    regions.replace(registry.table())
    if name_is_there:
        assert bytes(regions.view(number, 0, 4)) == b"data"
    else:
        made.unlink()
        made.path.write_bytes(b"anew")
        gone = (Code.NOT_FOUND, "Unable to find shared memory region: 'r'")
        assert refused(lambda: regions.view(number, 0, 4)) == gone
    regions.close()


def test_an_older_table_is_not_taken_over(shared_objects: SharedObjects) -> None:
    registry, regions = Registry(), ClientRegions()
    older = registry.table()
    number = registry.add(shared_objects.make(b"data"), 4)
    regions.replace(registry.table())
    regions.replace(older)
    assert bytes(regions.view(number, 0, 4)) == b"data"
    regions.close()


def test_a_place_that_is_too_small_is_refused_in_tritons_words(shared_objects: SharedObjects) -> None:
    registry, regions = Registry(), ClientRegions()
    made = shared_objects.make(b"\x11" * 100)
    number = registry.add(made, 100)
    regions.replace(registry.table())
    placements = Placements(regions, SPEC, (m.OutputPlacement(1, number, 8, 12),))
    assert "Y" in placements
    assert "X" not in placements
    text = (
        "shared memory size specified with the request for output 'Y' (12 bytes) should be at least 16 bytes to hold "
        "the results"
    )
    data = memoryview(bytes(16))
    assert refused(lambda: placements.write("Y", "FP32", (4,), data)) == (Code.INTERNAL, text)
    assert refused(lambda: placements.array("Y", "FP32", (4,), 16)) == (Code.INTERNAL, text)
    assert made.read() == b"\x11" * 100
    assert placements.write("Y", "FP32", (3,), data[:12]) == m.OutputRef("Y", "FP32", (3,), 8, 12, number)
    assert made.read(7, 14) == b"\x11" + bytes(12) + b"\x11"
    regions.close()


def test_an_output_is_computed_in_place_where_its_place_is_aligned(shared_objects: SharedObjects) -> None:
    registry, regions = Registry(), ClientRegions()
    made = shared_objects.make(bytes(100))
    number = registry.add(made, 100)
    regions.replace(registry.table())
    array = Placements(regions, SPEC, (m.OutputPlacement(0, number, 8, 16),)).array("X", "FP32", (2, 2), 16)
    assert array is not None
    array[...] = 1.5
    assert made.read(8, 16) == np.full(4, 1.5, np.float32).tobytes()
    assert Placements(regions, SPEC, (m.OutputPlacement(0, number, 9, 16),)).array("X", "FP32", (2, 2), 16) is None
    del array
    regions.close()


@pytest.mark.parametrize(
    ("input_start", "output_start", "meet"), [(0, 16, False), (0, 15, True), (0, 0, True), (16, 0, False), (8, 0, True)]
)
def test_places_that_share_memory_with_an_input_are_found_whatever_their_regions(
    shared_objects: SharedObjects, input_start: int, output_start: int, meet: bool
) -> None:
    registry, regions = Registry(), ClientRegions()
    made = shared_objects.make(bytes(100))
    whole, shifted = registry.add(made, 100, name="whole"), registry.add(made, 90, 10, name="shifted")
    regions.replace(registry.table())
    placements = Placements(regions, SPEC, (m.OutputPlacement(0, whole, 10 + output_start, 16),))
    inputs = (m.TensorRef(0, (4,), input_start, 16, shifted), m.TensorRef(1, (4,), 0, 16))
    assert placements.meet(inputs) is meet
    regions.close()


NUMBERS = st.integers(-(1 << 65), 1 << 65) | st.integers(-3, 60)


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, st.integers(0, 80))
def test_whatever_a_request_asks_for_no_byte_beside_its_region_is_touched(
    start: int, size_bytes: int, written_bytes: int
) -> None:
    objects = SharedObjects()
    try:
        registry, regions = Registry(), ClientRegions()
        made = objects.make(b"\x22" * 100)
        number = registry.add(made, 50, 30)
        regions.replace(registry.table())
        placements = Placements(regions, SPEC, (m.OutputPlacement(0, number, start, size_bytes),))
        data = memoryview(b"\x33" * written_bytes)
        if written_bytes <= size_bytes and 0 <= start <= 50 - written_bytes:
            placements.write("X", "UINT8", (written_bytes,), data)
        else:
            assert refused(lambda: placements.write("X", "UINT8", (written_bytes,), data))[0] is Code.INTERNAL
            assert made.read() == b"\x22" * 100
        assert made.read(0, 30) == b"\x22" * 30
        assert made.read(80) == b"\x22" * 20
        regions.close()
        os.close(registry.regions[0].fd)
    finally:
        objects.close()
