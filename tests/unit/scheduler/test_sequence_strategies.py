"""What the direct and the oldest strategy put into a batch and when; and sequences whose requests run again and again."""

import pytest

from tests.unit.scheduler.sequence_driver import FILLER, Driver
from tis.contracts.messages import MOST_BODY_BYTES, Wishes
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import Code

DIRECT = SequenceBatcherSpec()


def begun(driver: Driver, *sequences: int) -> Driver:
    """With these sequences in slots 0, 1, …, and nothing running."""
    for number in sequences:
        driver.send(f"begin{number}", number, start=True)
    driver.run()
    for worker in list(driver.running):
        driver.done(worker)
    return driver


# ---- direct ------------------------------------------------------------------------------------------------------------


def test_direct_a_request_stands_where_its_slot_is_and_fillers_stand_below_it() -> None:
    driver = begun(Driver(), 1, 2, 3, 4)
    driver.send("c", 3)
    assert driver.run() == [(100, [FILLER, FILLER, "c"])]
    driver.send("a", 1)
    driver.send("d", 4)
    assert driver.step() == [(100, ["a", FILLER, FILLER, "d"])]


def test_direct_a_batch_with_fillers_counts_by_its_places_and_fillers_count_nowhere_else() -> None:
    driver = begun(Driver(), 1, 2, 3)
    before = driver.scheduler.statistics.snapshot()
    driver.send("c", 3)
    driver.run()
    assert driver.done() == [FILLER, FILLER, "c"]
    stats = driver.scheduler.statistics.snapshot()
    assert (before.inference_count, before.success.count) == (3, 3)
    assert (stats.inference_count, stats.success.count, stats.execution_count) == (4, 4, 2)
    assert [(each.batch_size, each.compute_infer.count) for each in stats.batches] == [(3, 2)]


def test_direct_an_instance_runs_one_batch_at_a_time() -> None:
    driver = begun(Driver(), 1, 2)
    driver.send("a", 1)
    assert driver.run() == [(100, ["a"])]
    driver.send("b", 2)
    driver.pass_ms(10_000)
    assert driver.run() == []
    assert driver.step() == [(100, [FILLER, "b"])]


def test_direct_other_shapes_wait_for_another_batch_and_none_waits_for_ever() -> None:
    driver = begun(Driver(), 1, 2, 3)
    driver.send("b", 2, key=b"wide")
    driver.pass_ms(1)
    driver.send("a", 1)
    driver.send("c", 3)
    assert driver.run() == [(100, [FILLER, "b", FILLER])]
    driver.send("b2", 2, key=b"wide")
    assert driver.step() == [(100, ["a", FILLER, "c"])]
    assert driver.step() == [(100, [FILLER, "b2"])]


def test_direct_a_model_without_batches_has_one_slot() -> None:
    driver = Driver(slots=0)
    driver.send("a", 1, start=True)
    driver.send("b", 2, start=True)
    assert driver.run() == [(100, ["a"])]
    assert driver.step() == []


def test_direct_waits_for_enough_slots_or_for_the_delay() -> None:
    driver = Driver(SequenceBatcherSpec(max_queue_delay_us=5000, minimum_slot_utilization=0.75))
    driver.send("a", 1, start=True)
    driver.pass_ms(2)
    driver.send("b", 2, start=True)
    assert driver.run() == []
    assert driver.wake_ms() == 3
    driver.send("c", 3, start=True)
    assert driver.run() == [(100, ["a", "b", "c"])]
    driver.done()
    driver.send("b2", 2)
    assert driver.run() == []
    driver.pass_ms(5)
    assert driver.run() == [(100, [FILLER, "b2"])]


def test_direct_a_utilization_in_32_bits_means_what_it_says() -> None:
    three_tenths = 0.30000001192092896
    driver = Driver(SequenceBatcherSpec(max_queue_delay_us=5000, minimum_slot_utilization=three_tenths), slots=10)
    for name, number in (("a", 1), ("b", 2), ("c", 3)):
        assert driver.run() == []
        driver.send(name, number, start=True)
    assert driver.run() == [(100, ["a", "b", "c"])]


@pytest.mark.parametrize("given", [{"max_queue_delay_us": 5000}, {"minimum_slot_utilization": 0.9}])
def test_direct_does_not_wait_where_only_one_of_delay_and_utilization_is_given(given: dict[str, float]) -> None:
    driver = Driver(SequenceBatcherSpec(**given))  # type: ignore[arg-type]
    driver.send("a", 1, start=True)
    assert driver.run() == [(100, ["a"])]


def test_direct_a_batch_never_grows_beyond_a_packet() -> None:
    driver = Driver()
    big = b"\xc4" * (MOST_BODY_BYTES - 1)
    for name, number in (("a", 1), ("b", 2), ("c", 3)):
        driver.send(name, number, start=True)
        driver.requests[name].infer.body = big  # type: ignore[assignment]
    assert driver.run() == [(100, ["a", "b", FILLER])]
    assert driver.step() == [(100, [FILLER, FILLER, "c"])]


# ---- oldest ------------------------------------------------------------------------------------------------------------


def test_oldest_batches_a_request_of_each_sequence_without_fillers() -> None:
    driver = begun(Driver(SequenceBatcherSpec(oldest=True, max_candidate_sequences=3)), 1, 2, 3)
    driver.send("c1", 3)
    driver.send("c2", 3)
    driver.send("a1", 1)
    assert driver.run() == [(100, ["c1", "a1"])]
    driver.send("b1", 2)
    driver.pass_ms(1)
    assert driver.step() == [(100, ["b1", "c2"])]


def test_oldest_has_as_many_sequences_as_the_config_says_and_batches_no_more_than_the_model_takes() -> None:
    driver = Driver(SequenceBatcherSpec(oldest=True, max_candidate_sequences=3), slots=2)
    for number in range(1, 5):
        driver.send(f"s{number}", number, start=True)
    assert driver.run() == [(100, ["s1", "s2"])]
    assert driver.step() == [(100, ["s3"])]
    assert driver.step() == []
    assert driver.scheduler.queued == 1


def test_oldest_waits_for_a_preferred_size_or_the_delay() -> None:
    driver = Driver(SequenceBatcherSpec(oldest=True, max_queue_delay_us=5000, preferred_batch_sizes=(3,)))
    driver.send("a", 1, start=True)
    driver.send("b", 2, start=True)
    assert driver.run() == []
    assert driver.wake_ms() == 5
    driver.send("c", 3, start=True)
    assert driver.run() == [(100, ["a", "b", "c"])]
    driver.done()
    driver.send("a2", 1)
    assert driver.run() == []
    driver.pass_ms(5)
    assert driver.run() == [(100, ["a2"])]


def test_oldest_an_instance_may_have_a_second_batch_at_its_door_but_never_of_the_same_sequence() -> None:
    driver = Driver(SequenceBatcherSpec(oldest=True, max_candidate_sequences=4), slots=1)
    for number in (1, 2):
        driver.send(f"s{number}", number, start=True)
    driver.run()
    assert driver.step() == [(100, ["s2"])]
    instance = driver.scheduler.instances.get(100)
    assert instance is not None
    driver.done()
    instance.typical_ns = 10 * 1_000_000
    driver.send("a1", 1)
    driver.send("a2", 1)
    driver.send("b1", 2)
    assert driver.run() == [(100, ["a1"])]
    first = driver.running[100]
    driver.pass_ms(9.5)
    assert driver.run() == [(100, ["b1"])]
    driver.pass_ms(100)
    assert driver.run() == [], "two batches are with it"
    driver.running[100] = first
    assert driver.step() == [], "its pace is not known to end soon"
    assert driver.scheduler.queued == 1


# ---- iterative ---------------------------------------------------------------------------------------------------------

ITERATIVE = [
    pytest.param(SequenceBatcherSpec(iterative=True), id="direct"),
    pytest.param(SequenceBatcherSpec(iterative=True, oldest=True), id="oldest"),
]
iterative = pytest.mark.parametrize("spec", ITERATIVE)


@iterative
def test_iterative_requests_need_no_id_and_start_on_their_first_pass_only(spec: SequenceBatcherSpec) -> None:
    driver = Driver(spec)
    driver.send("a")
    driver.send("b")
    assert driver.run() == [(100, ["a", "b"])]
    assert [driver.requests[name].told for name in "ab"] == [
        Wishes(sequence_id=1, sequence_start=True),
        Wishes(sequence_id=2, sequence_start=True),
    ]
    assert driver.done(again=("b",)) == ["a"]
    driver.pass_ms(10)
    assert [name for _, names in driver.run() for name in names if name != FILLER] == ["b"]
    assert driver.requests["b"].told == Wishes(sequence_id=2)
    assert driver.requests["b"].slot == 1
    assert driver.done()[-1] == "b"
    assert driver.scheduler.queued == 0


@iterative
def test_iterative_the_slot_is_free_once_the_request_is_done(spec: SequenceBatcherSpec) -> None:
    driver = Driver(spec, slots=1)
    driver.send("a")
    driver.send("b")
    assert driver.run() == [(100, ["a"])]
    for _ in range(5):
        driver.pass_ms(5000)  # however long it takes
        driver.done(again=("a",))
        assert driver.run() == [(100, ["a"])]
    assert driver.step() == [(100, ["b"])]


@iterative
def test_iterative_a_request_that_was_cancelled_while_it_ran_does_not_run_again(spec: SequenceBatcherSpec) -> None:
    driver = Driver(spec, slots=1)
    driver.send("a")
    driver.send("b")
    driver.run()
    driver.requests["a"].cancelled = True
    driver.done(again=("a",))
    assert driver.run() == [(100, ["b"])]
    assert driver.refused["a"].code is Code.CANCELLED


@iterative
def test_iterative_a_waiting_request_can_be_cancelled(spec: SequenceBatcherSpec) -> None:
    driver = Driver(spec, slots=1)
    driver.send("a")
    driver.send("b")
    driver.run()
    driver.done(again=("a",))
    driver.cancel("a")
    assert driver.run() == [(100, ["b"])]


@iterative
def test_iterative_a_death_between_two_passes_fails_the_request(spec: SequenceBatcherSpec) -> None:
    driver = Driver(spec)
    driver.send("a")
    driver.run()
    driver.done(again=("a",))
    driver.die()
    assert driver.refused["a"].message == "the instance of model 'm' that had sequence 1 has died; try again"


def test_a_model_that_is_not_iterative_cannot_run_a_request_again() -> None:
    driver = Driver()
    driver.send("a", 1, start=True)
    driver.run()
    driver.done(again=("a",))
    assert driver.wake_ms() == 0
    assert driver.run() == []
    assert driver.refused["a"].code is Code.INTERNAL
