"""The pool is divided without overlap, and a dead process's part comes free only when nobody can still read it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tis.supervisor.grants import Grants
from tis_shm.slab import Grant

MIB = 1 << 20
WORKER, OTHER_WORKER, FRONTEND, SCHEDULER = 10, 11, 2, 1


def apart(grants: list[Grant]) -> bool:
    ordered = sorted(grants)
    return all(a.offset + a.size_bytes <= b.offset for a, b in pairwise(ordered))


def granted(grants: Grants, peer: int, size_bytes: int = MIB) -> Grant:
    grant = grants.grant(peer, size_bytes)
    assert grant is not None
    return grant


def exhausted(grants: Grants) -> bool:
    """Nothing is left of the smallest size; what was left goes to a process that never dies."""
    return grants.grant(999, 1) is None


@given(st.integers(16, 200), st.integers(1, 4), st.lists(st.integers(1, 20 * MIB), max_size=30))
def test_all_ranges_lie_in_the_pool_and_none_overlap(pool_mib: int, frontends: int, sizes: list[int]) -> None:
    pool_bytes = pool_mib * MIB
    grants = Grants(pool_bytes, frontends)
    all_of_them = [grants.frontend_range(place) for place in range(frontends)]
    for peer, size_bytes in enumerate(sizes, 10):
        grant = grants.grant(peer, size_bytes)
        if grant is not None:
            assert grant.size_bytes >= size_bytes
            all_of_them.append(grant)
    assert apart(all_of_them)
    assert all(grant.offset >= 0 and grant.offset + grant.size_bytes <= pool_bytes for grant in all_of_them)


def test_frontends_share_half_of_the_pool_and_a_restarted_one_gets_its_range_again() -> None:
    grants = Grants(64 * MIB, 2)
    assert grants.frontend_range(0) == grants.frontend_range(0) == Grant(0, 16 * MIB)
    assert grants.frontend_range(1) == Grant(16 * MIB, 16 * MIB)


def test_a_pool_with_nothing_left_of_a_size_says_so() -> None:
    grants = Grants(16 * MIB, 1)
    granted(grants, WORKER, 8 * MIB)
    assert grants.grant(OTHER_WORKER, 1) is None


def test_a_grant_is_worth_having_however_little_is_asked() -> None:
    assert granted(Grants(64 * MIB, 1), WORKER, 1).size_bytes >= MIB


# ---- deaths --------------------------------------------------------------------------------------------------------


def full(peer: int = WORKER) -> Grants:
    """Grants whose free half is all one worker's."""
    grants = Grants(16 * MIB, 1)
    granted(grants, peer, 8 * MIB)
    assert exhausted(grants)
    return grants


def test_what_a_dead_worker_had_can_be_granted_again() -> None:
    grants = full()
    grants.reclaim(OTHER_WORKER)
    assert exhausted(grants)
    grants.reclaim(WORKER)
    grants.reclaim(WORKER)
    granted(grants, OTHER_WORKER, 8 * MIB)


def test_what_a_worker_gives_back_another_may_have() -> None:
    grants = Grants(16 * MIB, 1)
    kept, spare = granted(grants, WORKER), granted(grants, WORKER, 4 * MIB)
    while grants.grant(OTHER_WORKER, MIB) is not None:
        pass
    assert grants.give_back(WORKER, [spare]) == [spare]
    assert grants.granted_bytes(WORKER) == kept.size_bytes
    assert granted(grants, OTHER_WORKER, 4 * MIB) == spare


def test_nothing_is_taken_back_twice_nor_from_one_who_does_not_hold_it() -> None:
    grants = Grants(16 * MIB, 1)
    first, second = granted(grants, WORKER), granted(grants, OTHER_WORKER)
    assert grants.give_back(WORKER, [second, (first.offset, 2 * MIB)]) == []
    assert grants.reclaim(WORKER) == [first]
    assert grants.give_back(WORKER, [first]) == []
