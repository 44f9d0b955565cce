"""An instance never idles for a round trip: its next batch is handed over shortly before the running one ends."""

from tis.scheduler.instances import HANDOVER_LEAD_NS, Instance, Instances, RunningBatch

MS = 1_000_000


def batch(number: int) -> RunningBatch:
    return RunningBatch(number, [], 1)


def learnt(peer: int = 1, typical_ms: int = 10) -> Instance:
    """An idle instance that has run one batch, from 0 on."""
    instance = Instance(peer)
    instance.begin(batch(0), 0)
    assert instance.finish(0, 0, typical_ms * MS) is not None
    return instance


def test_an_idle_instance_takes_a_batch_at_once() -> None:
    assert Instance(1).handover_ns() == 0


def test_while_its_pace_is_unknown_it_gets_no_second_batch() -> None:
    instance = Instance(1)
    instance.begin(batch(1), 0)
    assert instance.handover_ns() is None


def test_the_second_batch_is_handed_over_shortly_before_the_first_is_expected_to_end() -> None:
    instance = learnt(typical_ms=10)
    instance.begin(batch(1), 100 * MS)
    assert instance.handover_ns() == 110 * MS - HANDOVER_LEAD_NS


def test_the_second_is_handed_over_sooner_where_the_end_is_hard_to_expect_but_not_much() -> None:
    instance = learnt(typical_ms=20)
    for number, took_ms in enumerate((18, 22, 19, 21) * 10):
        instance.begin(batch(number), 0)
        instance.finish(number, 0, took_ms * MS)
    instance.begin(batch(100), 0)
    soon_ns = instance.typical_ns - HANDOVER_LEAD_NS
    assert (handover_ns := instance.handover_ns()) is not None
    assert instance.typical_ns * 7 / 8 - 1 <= handover_ns < soon_ns
    instance.finish(100, 0, 300 * MS)
    instance.begin(batch(101), 0)
    assert instance.handover_ns() == int(instance.typical_ns * 7 / 8)


def test_a_batch_that_was_prepared_beside_another_took_the_time_since_that_one_ended() -> None:
    instance = learnt(typical_ms=10)
    instance.begin(batch(1), 100 * MS)
    instance.begin(batch(2), 109 * MS)
    instance.finish(1, 100 * MS, 110 * MS)
    instance.finish(2, 108 * MS, 120 * MS)
    assert instance.took_ns == 10 * MS


def test_it_never_holds_more_than_two_batches() -> None:
    instance = learnt()
    instance.begin(batch(1), 100 * MS)
    instance.begin(batch(2), 109 * MS)
    assert instance.handover_ns() is None


def test_after_the_first_ends_the_seconds_end_is_expected_from_then_on() -> None:
    instance = learnt(typical_ms=10)
    instance.begin(batch(1), 100 * MS)
    instance.begin(batch(2), 109 * MS)
    assert instance.finish(1, 100 * MS, 110 * MS) is not None
    assert instance.handover_ns() == 120 * MS - HANDOVER_LEAD_NS


def test_an_instance_that_was_idle_counts_from_its_new_batch_not_from_its_last() -> None:
    instance = learnt(typical_ms=10)
    instance.begin(batch(1), 5000 * MS)
    assert instance.handover_ns() == 5010 * MS - HANDOVER_LEAD_NS


def test_its_pace_follows_its_batches_and_one_outlier_does_not_overturn_it() -> None:
    instance = learnt(typical_ms=10)
    instance.begin(batch(1), 0)
    instance.finish(1, 0, 60 * MS)
    assert instance.typical_ns == 20 * MS
    for number in range(2, 60):
        instance.begin(batch(number), 0)
        instance.finish(number, 0, 60 * MS)
    assert abs(instance.typical_ns - 60 * MS) < MS


def test_a_batch_that_took_no_measurable_time_still_teaches_a_pace() -> None:
    instance = Instance(1)
    instance.begin(batch(1), 5)
    instance.finish(1, 5, 5)
    assert instance.typical_ns > 0


def test_the_end_of_a_batch_that_it_does_not_run_changes_nothing() -> None:
    instance = learnt(typical_ms=10)
    assert instance.finish(9, 0, 5) is None
    instance.begin(batch(1), 100)
    assert instance.finish(9, 0, 5) is None
    assert [each.batch_id for each in instance.batches] == [1]
    assert instance.typical_ns == 10 * MS


# ---- several -------------------------------------------------------------------------------------------------------


def busy(instances: Instances, peer: int, *, since_ns: int, typical_ms: int) -> None:
    instance = instances.add(peer)
    instances.begin(instance, batch(peer * 100), 0)
    assert instances.finish(peer, peer * 100, 0, typical_ms * MS) is not None
    instances.begin(instance, batch(peer * 100 + 1), since_ns)


def test_without_instances_nothing_is_free_and_nothing_wakes() -> None:
    instances = Instances()
    assert instances.free(0) is None
    assert instances.wake_ns() is None


def test_an_idle_instance_is_preferred_to_one_about_to_finish() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=10)
    instances.add(2)
    free = instances.free(50 * MS)
    assert free is not None
    assert free.peer == 2


def test_of_busy_instances_the_one_that_ends_soonest_is_next_and_says_when() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=30)
    busy(instances, 2, since_ns=0, typical_ms=20)
    assert instances.free(0) is None
    assert instances.wake_ns() == 20 * MS - HANDOVER_LEAD_NS
    free = instances.free(20 * MS - HANDOVER_LEAD_NS)
    assert free is not None
    assert free.peer == 2


def test_when_all_are_full_only_the_end_of_a_batch_helps() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=30)
    instance = instances.get(1)
    assert instance is not None
    assert instances.free(0) is None
    assert instances.wake_ns() is not None
    instances.begin(instance, batch(7), 29 * MS)
    assert instances.free(100 * MS) is None
    assert instances.wake_ns() is None


def test_an_instance_that_goes_gives_back_both_batches_it_had() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=30)
    instance = instances.get(1)
    assert instance is not None
    instances.begin(instance, batch(7), 29 * MS)
    gone = instances.remove(1)
    assert gone is instance
    assert [each.batch_id for each in gone.batches] == [101, 7]
    assert len(instances) == 0
    assert instances.get(1) is None
    assert instances.remove(1) is None


def test_an_instance_announced_twice_keeps_what_it_has() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=30)
    instances.add(1)
    assert [len(each.batches) for each in instances] == [1]


def test_the_instance_that_has_idled_longest_is_next() -> None:
    instances = Instances()
    for peer in (1, 2, 3):
        instances.add(peer)
    order = []
    for number in range(6):
        instance = instances.free(0)
        assert instance is not None
        order.append(instance.peer)
        instances.begin(instance, batch(number), 0)
        assert instances.finish(instance.peer, number, 0, 1) is not None
    assert order == [1, 2, 3, 1, 2, 3]


def test_without_batches_ahead_a_busy_instance_takes_nothing() -> None:
    instances = Instances(ahead=False)
    busy(instances, 1, since_ns=0, typical_ms=30)
    instance = instances.get(1)
    assert instance is not None
    assert instances.free(100 * MS) is None
    assert not instances.is_free(instance, 100 * MS)
    assert instances.wake_ns() is None
    assert instances.finish(1, 101, 0, 30 * MS) is not None
    assert instances.is_free(instance, 100 * MS)


def test_while_one_is_always_idle_nothing_piles_up() -> None:
    instances = Instances()
    instances.add(1)
    instances.add(2)
    for number in range(1000):
        instance = instances.free(number * MS)
        assert instance is not None
        instances.begin(instance, batch(number), number * MS)
        assert instances.finish(instance.peer, number, 0, number * MS + 1) is not None
    assert len(instances._handovers) < 100


def test_nothing_is_bound_to_an_instance_that_runs_for_far_longer_than_usual() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=10)
    instance = instances.get(1)
    assert instance is not None
    assert instances.free(15 * MS) is instance
    assert instances.free(21 * MS) is None
    assert not instances.is_free(instance, 21 * MS)
    assert instances.wake_ns() is None
    assert instances.finish(1, 101, 0, 500 * MS) is not None
    assert instances.free(500 * MS) is instance


def test_an_instance_that_is_overdue_hides_no_other_one() -> None:
    instances = Instances()
    busy(instances, 1, since_ns=0, typical_ms=10)
    busy(instances, 2, since_ns=100 * MS, typical_ms=10)
    found = instances.free(110 * MS)
    assert found is not None
    assert found.peer == 2


def test_beside_others_an_instance_whose_pace_is_not_steady_gets_nothing_ahead() -> None:
    for count, ahead in ((1, True), (2, False)):
        instances = Instances()
        for peer in range(1, count + 1):
            instances.add(peer)
        now_ns = 0
        for number in range(20):
            instance = instances.get(1)
            assert instance is not None
            instances.begin(instance, batch(number), now_ns)
            took_ns = (1 if number % 10 else 200) * MS
            assert instances.finish(1, number, now_ns, now_ns + took_ns) is not None
            now_ns += took_ns
        busy(instances, 2, since_ns=now_ns, typical_ms=1000) if count > 1 else None
        instance = instances.get(1)
        assert instance is not None
        instances.begin(instance, batch(99), now_ns)
        assert (instances.free(now_ns + int(instance.typical_ns)) is instance) == ahead
