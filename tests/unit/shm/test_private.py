"""A private mapping: what is written there is nobody else's, and what is written elsewhere is seen there."""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tis_shm.private import PrivateMap, pages
from tis_shm.region import RegionError

_PAGE: int = mmap.PAGESIZE
_PAGES = 40


@dataclass
class Twice:
    """An object that is mapped both ways."""

    shared: mmap.mmap
    private: PrivateMap


@pytest.fixture
def twice() -> Iterator[Twice]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, _PAGES * _PAGE)
    shared = mmap.mmap(fd, _PAGES * _PAGE)
    try:
        private = PrivateMap(fd, _PAGES * _PAGE)
    except RegionError as error:
        pytest.skip(f"this machine has no private mappings that tell what is written: {error}")
    os.close(fd)
    yield Twice(shared, private)
    assert private.close()


def test_what_is_written_to_the_object_is_seen_until_something_is_written_here(twice: Twice) -> None:
    view = twice.private.view(0, 2 * _PAGE)
    twice.shared[:2] = b"ab"
    assert bytes(view[:2]) == b"ab"
    view[1:2] = b"x"
    twice.shared[:2] = b"cd"
    twice.shared[_PAGE : _PAGE + 1] = b"e"
    assert bytes(view[:2]) == b"ax", "the page is this mapping's own now"
    assert view[_PAGE] == ord("e"), "and the next one is not"
    assert twice.shared[:2] == b"cd"
    view.release()


def test_only_pages_that_are_written_to_count_as_written(twice: Twice) -> None:
    view = twice.private.view(0, _PAGES * _PAGE)
    assert not twice.private.is_written(0, _PAGES * _PAGE), "not even read"
    assert not any(view)
    assert not twice.private.is_written(0, _PAGES * _PAGE)
    view[7 * _PAGE + 5] = 1
    assert twice.private.is_written(0, _PAGES * _PAGE)
    assert twice.private.is_written(8 * _PAGE - 1, 1)
    assert not twice.private.is_written(0, 7 * _PAGE)
    assert not twice.private.is_written(8 * _PAGE, 32 * _PAGE)
    view.release()


def test_what_is_renewed_shows_the_object_again(twice: Twice) -> None:
    view = twice.private.view(3, 5)
    view[:] = b"12345"
    twice.shared[3:8] = b"abcde"
    twice.private.renew(3, 5)
    assert bytes(view) == b"abcde"
    assert not twice.private.is_written(3, 5)
    view.release()


def test_what_is_separated_stays_as_it_is(twice: Twice) -> None:
    twice.shared[:] = b"1" * (_PAGES * _PAGE)
    view = twice.private.view(_PAGE - 1, 2 * _PAGE)
    twice.private.separate(_PAGE - 1, 2 * _PAGE)
    twice.shared[:] = b"2" * (_PAGES * _PAGE)
    assert bytes(view) == b"1" * (2 * _PAGE)
    assert twice.private.is_written(0, 1)
    assert not twice.private.is_written(3 * _PAGE, _PAGE)
    view.release()


def test_a_mapping_of_which_somebody_holds_a_view_stays(twice: Twice) -> None:
    view = twice.private.view(0, 1)
    assert not twice.private.close()
    view.release()


def test_a_range_has_all_pages_that_it_touches() -> None:
    assert pages(0, 1) == (0, 1)
    assert pages(_PAGE - 1, 2) == (0, 2)
    assert pages(_PAGE, _PAGE) == (1, 2)
