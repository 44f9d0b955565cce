"""A dead process's memory comes free when nobody can read it any more: the scheduler is asked first, then all others."""

from tis.supervisor.departures import Departures

SCHEDULER, FRONTEND, WORKER, OTHER_WORKER = 1, 2, 3, 4


class Bench:
    """Departures, and what they had said and done."""

    def __init__(self, *holders: int) -> None:
        self.holders = set(holders)
        self.asked: list[int] = []
        self.announced: list[int] = []
        self.forgotten: list[int] = []
        self.departures = Departures(lambda gone, _: self.asked.append(gone), self._announce, self.forgotten.append)

    def _announce(self, gone: int, _: str) -> set[int]:
        self.announced.append(gone)
        self.holders.discard(gone)
        return self.holders


def test_others_are_told_only_when_the_scheduler_has_let_go() -> None:
    bench = Bench(FRONTEND, OTHER_WORKER)
    bench.departures.died(WORKER, "", scheduler_lives=True)
    assert (bench.asked, bench.announced) == ([WORKER], [])
    assert WORKER in bench.departures
    bench.departures.scheduler_quiesced(WORKER)
    bench.departures.scheduler_quiesced(WORKER)
    assert bench.announced == [WORKER]


def test_it_is_forgotten_when_everybody_who_may_hold_something_has_let_go() -> None:
    bench = Bench(FRONTEND, OTHER_WORKER)
    bench.departures.died(WORKER, "", scheduler_lives=True)
    bench.departures.scheduler_quiesced(WORKER)
    bench.departures.quiesced(FRONTEND, WORKER)
    assert bench.forgotten == []
    bench.departures.quiesced(99, WORKER)
    bench.departures.quiesced(OTHER_WORKER, WORKER)
    assert bench.forgotten == [WORKER]
    assert WORKER not in bench.departures


def test_where_nobody_holds_anything_it_is_forgotten_at_once() -> None:
    bench = Bench()
    bench.departures.died(WORKER, "", scheduler_lives=True)
    bench.departures.scheduler_quiesced(WORKER)
    assert bench.forgotten == [WORKER]


def test_one_that_dies_is_waited_for_no_longer() -> None:
    bench = Bench(FRONTEND)
    bench.departures.died(WORKER, "", scheduler_lives=True)
    bench.departures.scheduler_quiesced(WORKER)
    bench.departures.died(FRONTEND, "", scheduler_lives=True)
    assert bench.forgotten == [WORKER]
    bench.departures.scheduler_quiesced(FRONTEND)
    assert bench.forgotten == [WORKER, FRONTEND]


def test_the_death_of_the_scheduler_ends_every_wait_for_it() -> None:
    bench = Bench(FRONTEND)
    bench.departures.died(WORKER, "", scheduler_lives=True)
    bench.departures.died(SCHEDULER, "", scheduler_lives=False)
    assert bench.announced == [WORKER, SCHEDULER]
    for gone in (WORKER, SCHEDULER):
        bench.departures.quiesced(FRONTEND, gone)
    assert bench.forgotten == [WORKER, SCHEDULER]
