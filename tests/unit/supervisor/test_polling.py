"""Repositories are looked at by one thread at a time, and nothing waits for it."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.supervisor.errands import SteppedErrands
from tis.settings import ServerSettings
from tis.supervisor.models import Models
from tis.supervisor.polling import Polling
from tis.supervisor.reading import LoadOrder


class Bench:
    """Poll mode over a repository; loads are noted, and moments come when the test says so."""

    def __init__(self, repository: Path, *, mode: str = "poll") -> None:
        self.repository = repository
        self.errands = SteppedErrands()
        self.loads: list[list[str]] = []
        self.moments: list[tuple[float, Callable[[], None]]] = []
        settings = ServerSettings(
            model_repositories=(str(repository),), model_control_mode=cast("Any", mode), repository_poll_s=15
        )
        loader = SimpleNamespace(
            reader=SimpleNamespace(repositories=[repository], config_name=""),
            unloader=SimpleNamespace(unload=lambda name, _done: self.loads.append([f"-{name}"])),
            load_all=self._load_all,
        )
        self.polling = Polling(
            settings,
            cast("Any", loader),
            Models(lambda _table: None),
            lambda delay_s, callback: self.moments.append((delay_s, callback)),
            self.errands,
        )

    def _load_all(self, orders: list[LoadOrder]) -> None:
        if orders:
            assert all(order.force for order in orders)
            self.loads.append([order.name for order in orders])

    def tick(self) -> None:
        self.moments.pop(0)[1]()

    def add(self, name: str) -> None:
        """A model that has been still for long."""
        (self.repository / name / "1").mkdir(parents=True)
        for path in (self.repository / name / "1", self.repository / name):
            os.utime(path, (1, 1))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_there_at_the_start_is_no_news_and_what_comes_is_loaded_together(bench: Bench) -> None:
    bench.add("there")
    bench.polling.begin()
    bench.tick()
    bench.errands.finish()
    assert bench.loads == []
    bench.add("b")
    bench.add("a")
    bench.tick()
    assert bench.loads == []
    bench.errands.finish()
    assert bench.loads == [["a", "b"]]


def test_there_is_never_more_than_one_look_under_way(bench: Bench) -> None:
    bench.polling.begin()
    for _ in range(3):
        bench.tick()
    assert len(bench.errands.open) == 1
    # Time goes on whatever the share does.
    assert [delay_s for delay_s, _ in bench.moments] == [15]
    bench.errands.step()
    assert bench.errands.open == []
    bench.tick()
    assert len(bench.errands.open) == 1


def test_who_asks_for_a_look_gets_one_that_begins_after_he_asked(bench: Bench) -> None:
    bench.polling.begin()
    bench.polling.look()
    bench.polling.rescan()
    bench.polling.rescan()
    assert len(bench.errands.open) == 1
    bench.errands.step()
    assert len(bench.errands.open) == 1
    bench.errands.step()
    assert bench.errands.open == []


def test_elsewhere_nobody_looks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode="none")
    bench.polling.begin()
    bench.polling.rescan()
    assert (bench.errands.open, bench.moments) == ([], [])
