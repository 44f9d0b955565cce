"""Sequences whatever the strategy: their rules, slots, backlog, idle time, cancellation, and the death of an instance."""

import pytest

from tests.unit.scheduler.sequence_driver import Driver
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import Code, TisError

ONE_SLOT = 1
DIRECT = SequenceBatcherSpec()
OLDEST = SequenceBatcherSpec(oldest=True)
both = pytest.mark.parametrize("strategy", [DIRECT, OLDEST], ids=["direct", "oldest"])


def refusal(driver: Driver, sequence: int | str = 0, *, items: int = 1, end: bool = False) -> TisError:
    with pytest.raises(TisError) as caught:
        driver.send("refused", sequence, items=items, end=end)
    assert caught.value.complete, "the text stands as it is"
    return caught.value


# ---- rules -------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("sequence", [0, ""])
def test_a_request_needs_a_correlation_id(strategy: SequenceBatcherSpec, sequence: int | str) -> None:
    error = refusal(Driver(strategy), sequence)
    assert error.code is Code.INVALID_ARG
    assert error.message == "inference request to model 'm' must specify a non-zero or non-empty correlation ID"


@both
def test_a_request_has_one_item_which_is_looked_at_first(strategy: SequenceBatcherSpec) -> None:
    error = refusal(Driver(strategy), 0, items=2)
    assert (
        error.message
        == "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher"
    )


@both
@pytest.mark.parametrize("sequence", [7, "seven"])
def test_the_first_request_of_a_sequence_needs_start(strategy: SequenceBatcherSpec, sequence: int | str) -> None:
    error = refusal(Driver(strategy), sequence, end=True)
    assert error.message == (
        f"inference request for sequence {sequence} to model 'm' must specify the START flag on the first request of "
        "the sequence"
    )


@both
def test_numbers_and_texts_are_different_ids(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy)
    driver.send("a1", 1, start=True)
    assert "sequence 1 " in refusal(driver, "1").message


@both
def test_an_id_is_forgotten_after_end_and_may_begin_again(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy)
    driver.send("a1", 1, start=True)
    driver.send("a2", 1, end=True)
    assert "START flag" in refusal(driver, 1).message
    driver.send("b1", 1, start=True, end=True)
    assert "START flag" in refusal(driver, 1).message


@both
def test_a_start_on_a_live_id_follows_in_the_same_slot(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, workers=(100, 101))
    driver.send("a1", 1, start=True)
    assert driver.run() == [(100, ["a1"])]
    driver.send("b1", 1, start=True)
    driver.send("b2", 1, end=True)
    assert driver.run() == [], "the earlier request of the slot still runs"
    assert driver.step() == [(100, ["b1"])]
    assert driver.step() == [(100, ["b2"])]


# ---- slots and backlog -------------------------------------------------------------------------------------------------


@both
def test_sequences_spread_over_the_instances_before_they_fill_one(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=2, workers=(100, 101))
    for number in range(1, 5):
        driver.send(f"s{number}", number, start=True)
    assert driver.run() == [(100, ["s1", "s3"]), (101, ["s2", "s4"])]
    assert [driver.requests[f"s{number}"].slot for number in range(1, 5)] == [0, 0, 1, 1]


@both
def test_sequences_without_a_slot_wait_whole_and_in_order(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.send("c1", 3, start=True, end=True)
    driver.send("b2", 2, end=True)
    assert driver.run() == [(100, ["a1"])]
    assert driver.step() == [], "a is not at its end"
    driver.send("a2", 1, end=True)
    assert driver.run() == [(100, ["a2"])]
    assert [driver.step() for _ in range(3)] == [[(100, ["b1"])], [(100, ["b2"])], [(100, ["c1"])]]


@both
def test_the_slot_of_an_ended_sequence_is_given_on_while_its_last_request_runs(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True, end=True)
    driver.run()
    driver.send("b1", 2, start=True, timeout_us=1000)
    driver.pass_ms(5)
    assert driver.run() == [], "its slot is still busy, but it has one: its time does not matter any more"
    assert not driver.refused
    assert driver.step() == [(100, ["b1"])]


@both
def test_a_timeout_in_the_backlog_refuses_the_whole_sequence_on_time(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.send("b2", 2, timeout_us=3000)
    driver.send("c1", 3, start=True)
    driver.run()
    assert driver.wake_ms() == 3
    driver.pass_ms(2.999)
    driver.run()
    assert not driver.refused
    driver.pass_ms(0.001)
    driver.run()
    assert list(driver.refused) == ["b1", "b2"]
    error = driver.refused["b1"]
    assert (error.code, error.complete) == (Code.UNAVAILABLE, True)
    assert error.message == "timeout of the corresponding sequence has been expired"
    assert "START flag" in refusal(driver, 2).message
    driver.send("a2", 1, end=True)
    driver.done()
    assert driver.run() == [(100, ["a2"])]
    assert driver.step() == [(100, ["c1"])]


@both
def test_sequences_wait_until_there_is_an_instance(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, workers=())
    driver.send("a1", 1, start=True)
    assert driver.run() == []
    driver.scheduler.instance_up(100)
    assert driver.run() == [(100, ["a1"])]


# ---- idle time ---------------------------------------------------------------------------------------------------------


@both
def test_a_sequence_that_idles_ends_exactly_on_time(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done()
    driver.pass_ms(999.999)
    driver.send("a2", 1)
    driver.run()
    driver.done()
    driver.pass_ms(1000)
    assert "START flag" in refusal(driver, 1).message


@both
def test_the_slot_of_an_idle_sequence_goes_to_the_one_that_waits_exactly_on_time(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done()
    driver.pass_ms(400)
    driver.send("b1", 2, start=True)
    assert driver.run() == []
    assert driver.wake_ms() == 600
    driver.pass_ms(600)
    assert driver.run() == [(100, ["b1"])]


@both
def test_nothing_wakes_for_idle_sequences_that_nobody_waits_for(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done()
    assert driver.wake_ms() is None


@both
def test_a_sequence_idles_from_when_it_has_its_slot(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.run()
    for number in range(2, 5):
        driver.pass_ms(900)
        driver.send(f"a{number}", 1, end=number == 4)
    driver.send("b2", 2)
    for _ in range(3):
        driver.step()
    assert driver.step() == [(100, ["b1"])]
    driver.pass_ms(999.999)
    driver.send("b3", 2)
    driver.pass_ms(1000)
    assert "START flag" in refusal(driver, 2).message


@both
def test_what_an_idle_sequence_has_waiting_still_runs(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.send("a2", 1)
    driver.send("b1", 2, start=True)
    driver.run()
    driver.pass_ms(1000)
    assert "START flag" in refusal(driver, 1).message
    assert driver.step() == [(100, ["a2"])]
    assert driver.step() == [(100, ["b1"])]


# ---- cancellation ------------------------------------------------------------------------------------------------------


@both
def test_a_cancelled_request_ends_its_sequence_and_drops_what_is_behind_it(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.run()
    for name in ("a2", "a3", "a4"):
        driver.send(name, 1)
    driver.send("b1", 2, start=True)
    driver.cancel("a3")
    assert {name: error.code for name, error in driver.refused.items()} == {"a3": Code.CANCELLED, "a4": Code.CANCELLED}
    assert "START flag" in refusal(driver, 1).message
    assert driver.scheduler.queued == 2
    assert driver.step() == [(100, ["a2"])]
    assert driver.step() == [(100, ["b1"])]


@both
def test_cancelling_the_only_waiting_request_frees_the_slot(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.send("a2", 1)
    driver.send("b1", 2, start=True)
    driver.cancel("a2")
    assert driver.step() == [(100, ["b1"])]


@both
def test_cancelling_a_candidate_that_no_instance_has_taken(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=2, workers=(100,))
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.cancel("a1")
    assert [name for _, names in driver.run() for name in names if name != "-"] == ["b1"]
    driver.send("c1", 3, start=True)
    driver.done()
    assert [name for _, names in driver.run() for name in names if name != "-"] == ["c1"]


def test_nothing_wakes_for_a_batch_whose_only_request_was_cancelled() -> None:
    driver = Driver(SequenceBatcherSpec(oldest=True, max_queue_delay_us=3000))
    driver.send("a1", 1, start=True)
    driver.run()
    assert driver.wake_ms() == 3
    driver.cancel("a1")
    driver.run()
    assert driver.wake_ms() is None


@both
def test_cancelling_in_the_backlog_drops_the_whole_sequence(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.send("b2", 2)
    driver.send("c1", 3, start=True)
    driver.run()
    driver.cancel("b2")
    assert set(driver.refused) == {"b1", "b2"}
    driver.send("a2", 1, end=True)
    assert driver.step() == [(100, ["a2"])]
    assert driver.step() == [(100, ["c1"])]


# ---- instances that go -------------------------------------------------------------------------------------------------


@both
def test_the_sequences_of_a_dead_instance_end_and_must_begin_anew(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT, workers=(100, 101))
    driver.send("a1", 1, start=True)
    driver.send("b1", 2, start=True)
    driver.run()
    driver.send("a2", 1)
    driver.die(100)
    assert set(driver.refused) == {"a1", "a2"}
    error = driver.refused["a2"]
    assert error.code is Code.UNAVAILABLE
    assert error.message == "the instance of model 'm' that had sequence 1 has died; start the sequence anew"
    assert "START flag" in refusal(driver, 1).message
    driver.send("b2", 2, end=True)
    assert driver.step(101) == [(101, ["b2"])]
    driver.send("c1", 1, start=True)
    assert driver.step(101) == [(101, ["c1"])]


@both
def test_a_sequence_that_a_dead_instance_had_not_begun_goes_elsewhere_before_later_ones(
    strategy: SequenceBatcherSpec,
) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True, end=True)
    driver.run()
    driver.send("b1", 2, start=True, end=True)
    driver.send("c1", 3, start=True)
    driver.die()
    assert set(driver.refused) == {"a1"}
    driver.scheduler.instance_up(101)
    assert driver.run() == [(101, ["b1"])]
    assert driver.step(101) == [(101, ["c1"])]


@both
def test_an_idle_instance_that_dies_ends_the_sequences_that_it_had_begun(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.done()
    driver.die()
    assert "START flag" in refusal(driver, 1).message


@both
def test_a_model_that_goes_away_refuses_all_that_waits(strategy: SequenceBatcherSpec) -> None:
    driver = Driver(strategy, slots=ONE_SLOT)
    driver.send("a1", 1, start=True)
    driver.run()
    driver.send("a2", 1)
    driver.send("b1", 2, start=True)
    for decision in driver.scheduler.close(0):
        driver.note(decision)
    assert set(driver.refused) == {"a2", "b1"}
    assert driver.scheduler.queued == 0
    assert driver.done() == ["a1"]
    assert "START flag" in refusal(driver, 1).message
    driver.send("c1", 1, start=True)
    assert driver.run() == [(100, ["c1"])], "should it come back"
