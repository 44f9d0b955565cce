"""Clients' system shared memory: which keys lead to an object, and that no bound is ever left."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.shared_memory import SharedObjects, shared_objects
from tis_shm.region import RegionError, SystemRegion, holds, identity_of, object_bytes, open_object, open_shared

__all__ = ["shared_objects"]

NUMBERS = st.integers(-(1 << 65), 1 << 65) | st.integers(-4, 40)


def region(objects: SharedObjects, data: bytes, offset: int, size_bytes: int) -> SystemRegion:
    return SystemRegion(open_object(objects.make(data).key), offset, size_bytes)


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_a_key_leads_to_its_object_with_or_without_a_slash(shared_objects: SharedObjects, slashes: str) -> None:
    made = shared_objects.make(b"abc")
    fd = open_object(slashes + made.name)
    assert object_bytes(fd) == 3
    os.close(fd)


@pytest.mark.parametrize(
    "key", ["", "/", "///", ".", "..", "/../etc/passwd", "a/b", "no such object", "x" * 255, "nul\0", "\ud800", "/."]
)
def test_a_key_that_names_no_object_is_refused(key: str) -> None:
    with pytest.raises(RegionError):
        open_object(key)


def test_what_is_no_shared_memory_is_refused(shared_objects: SharedObjects) -> None:
    target = shared_objects.make(b"target")
    link = shared_objects.make(b"")
    link.unlink()
    link.path.symlink_to(target.path)
    pipe = shared_objects.make(b"")
    pipe.unlink()
    os.mkfifo(pipe.path)
    for each in (link, pipe):
        with pytest.raises(RegionError):
            open_object(each.key)


def test_views_are_the_object_itself_and_count_from_the_regions_begin(shared_objects: SharedObjects) -> None:
    made = shared_objects.make(bytes(range(100)))
    mapped = SystemRegion(open_object(made.key), 33, 50)
    assert bytes(mapped.view(2, 3)) == bytes([35, 36, 37])
    mapped.view(0, 2)[:] = b"\xff\xfe"
    assert made.read(33, 2) == b"\xff\xfe"
    made.write(b"\x01", 40)
    assert bytes(mapped.view(7, 1)) == b"\x01"
    assert mapped.close()


def test_a_region_is_found_without_its_name(shared_objects: SharedObjects) -> None:
    made = shared_objects.make(b"first")
    fd = open_object(made.key)
    about = os.fstat(fd)
    made.unlink()
    made.path.write_bytes(b"other")
    mapped = SystemRegion(open_shared(os.getpid(), fd, made.key, (about.st_dev, about.st_ino)), 0, 5)
    assert bytes(mapped.view(0, 5)) == b"first"
    assert mapped.close()
    os.close(fd)


def test_a_descriptor_that_leads_elsewhere_by_now_never_gives_another_object(shared_objects: SharedObjects) -> None:
    first, second = shared_objects.make(b"1"), shared_objects.make(b"2")
    first_fd, second_fd = open_object(first.key), open_object(second.key)
    identity = identity_of(first_fd)
    by_name = open_shared(os.getpid(), second_fd, first.key, identity)
    assert identity_of(by_name) == identity
    os.close(first_fd)
    for key in (second.key, "/tis-nowhere"):
        for fd in (first_fd, second_fd):
            with pytest.raises(RegionError):
                open_shared(os.getpid(), fd, key, identity)
    os.close(by_name)
    os.close(second_fd)


def test_an_object_that_is_too_small_is_not_mapped(shared_objects: SharedObjects) -> None:
    with pytest.raises(RegionError, match="smaller"):
        region(shared_objects, b"abc", 0, 4)


@pytest.mark.parametrize(("start", "size_bytes"), [(-1, 1), (0, -1), (0, 51), (50, 1), (51, 0), (1 << 64, 0)])
def test_no_view_leaves_its_region(shared_objects: SharedObjects, start: int, size_bytes: int) -> None:
    mapped = region(shared_objects, bytes(100), 33, 50)
    with pytest.raises(RegionError, match="not inside the region of 50 bytes"):
        mapped.view(start, size_bytes)
    assert mapped.close()


def test_an_object_that_was_cut_is_an_error_and_not_the_end_of_the_process(shared_objects: SharedObjects) -> None:
    made = shared_objects.make(bytes(8192))
    mapped = SystemRegion(open_object(made.key), 0, 8192)
    made.resize(100)
    with pytest.raises(RegionError, match="smaller than the region"):
        mapped.view(0, 101)
    assert len(mapped.view(0, 100)) == 100
    made.resize(8192)
    assert len(mapped.view(8000, 100)) == 100


def test_a_region_stays_while_a_view_of_it_is_held(shared_objects: SharedObjects) -> None:
    made = shared_objects.make(b"held")
    mapped = SystemRegion(open_object(made.key), 0, 4)
    view = mapped.view(0, 4)
    assert not mapped.close()
    made.write(b"HELD")
    assert bytes(view) == b"HELD"
    view.release()
    assert mapped.close()


@given(NUMBERS, NUMBERS, NUMBERS)
def test_what_a_region_holds_lies_inside_of_it(region_bytes: int, start: int, size_bytes: int) -> None:
    inside = all(0 <= at <= region_bytes for at in (start, start + size_bytes)) and size_bytes >= 0
    assert holds(region_bytes, start, size_bytes) == inside
