"""The local cache: never more bytes than it may have, and what goes is what was not used for longest."""

from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.messages import OutputRef
from tis.scheduler.cache.interface import Entry
from tis.scheduler.cache.local import OVERHEAD_BYTES, LocalCache, entry_bytes

TOKEN = (1, 0)


def entry(size_bytes: int, mark: int = 0) -> Entry:
    return Entry((OutputRef("OUT", "UINT8", (size_bytes,), 0, size_bytes),), {}, bytes([mark % 256]) * size_bytes)


def keys(cache: LocalCache, among: str) -> str:
    return "".join(key for key in among if key.encode() in cache._entries)


def test_what_was_kept_is_found_and_nothing_else() -> None:
    cache = LocalCache(10_000)
    cache.insert(b"a", entry(10, 1))
    assert cache.look_up(b"a", TOKEN) == entry(10, 1)
    assert cache.look_up(b"b", TOKEN) is None


def test_the_one_not_used_for_longest_makes_room() -> None:
    cache = LocalCache(3 * entry_bytes(entry(10)))
    for key in (b"a", b"b", b"c"):
        cache.insert(key, entry(10))
    cache.look_up(b"a", TOKEN)
    cache.insert(b"d", entry(10))
    assert keys(cache, "abcd") == "acd"
    assert cache.metrics().evictions == 1


def test_an_answer_that_is_too_large_is_not_kept_and_drives_nobody_out() -> None:
    cache = LocalCache(entry_bytes(entry(100)))
    cache.insert(b"a", entry(100))
    cache.insert(b"b", entry(101))
    assert keys(cache, "ab") == "a"
    assert cache.used_bytes == entry_bytes(entry(100))


def test_an_answer_takes_what_it_holds_and_what_is_written_about_it() -> None:
    assert entry_bytes(entry(1000)) > 1000 + OVERHEAD_BYTES
    assert entry_bytes(entry(1000)) < 1100 + OVERHEAD_BYTES


def test_what_a_model_has_answered_goes_with_it() -> None:
    cache = LocalCache(100_000)
    for key in (b"1a", b"1b", b"2a"):
        cache.insert(key, entry(10))
    cache.forget(b"1")
    assert len(cache) == 1
    assert cache.used_bytes == entry_bytes(entry(10))


def test_lookups_are_counted() -> None:
    cache = LocalCache(100_000)
    cache.insert(b"a", entry(10))
    for key in (b"a", b"b", b"a"):
        cache.look_up(key, TOKEN)
    counted = cache.metrics()
    assert (counted.lookups, counted.hits, counted.misses, counted.entries) == (3, 2, 1, 1)
    assert counted.used == entry_bytes(entry(10)) / 100_000


steps = st.lists(st.tuples(st.sampled_from(["insert", "look", "forget"]), st.integers(0, 9), st.integers(0, 3000)))


@given(st.integers(1, 8000), steps)
def test_it_does_what_a_list_in_order_of_use_does(size_bytes: int, todo: list[tuple[str, int, int]]) -> None:
    """Against a list that is searched and summed up anew in every step."""
    cache = LocalCache(size_bytes)
    kept: list[tuple[bytes, Entry]] = []
    for number, (what, which, answer_bytes) in enumerate(todo):
        key = b"%d" % which
        if what == "insert":
            new = entry(answer_bytes, number)
            cache.insert(key, new)
            if entry_bytes(new) <= size_bytes:
                kept = [each for each in kept if each[0] != key] + [(key, new)]
                while sum(entry_bytes(each) for _, each in kept) > size_bytes:
                    kept.pop(0)
        elif what == "look":
            expected = dict(kept).get(key)
            assert cache.look_up(key, TOKEN) == expected
            if expected is not None:
                kept = [each for each in kept if each[0] != key] + [(key, expected)]
        else:
            cache.forget(key)
            kept = [each for each in kept if each[0] != key]
        assert cache.used_bytes == sum(entry_bytes(each) for _, each in kept) <= size_bytes
        assert len(cache) == len(kept)
