"""Instances take each other's place, come and go, without the others noticing; what fails to come changes nothing."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.contracts.scheduling_spec import ExtensionSpec
from tis.supervisor.child import Child
from tis.supervisor.instances import InstancePlace, Instances
from tis.supervisor.memory import own_memory_bytes
from tis.supervisor.recycling import AGAIN_S, SERVES_PER_LOAD, Recycling
from tis.supervisor.version import State


class Bench:
    """Two instances of a version; processes are numbers."""

    def __init__(self) -> None:
        self.peers = 0
        self.dying: dict[int, Callable[[str], None]] = {}
        self.retiring: list[int] = []
        self.told_to_end: list[int] = []
        self.deaths: list[str] = []
        self.changes: list[str] = []
        self.instances = Instances(cast("Any", self), self._make, 2, self._died)
        for place in self.instances:
            place.start()

    # What places need of a host.

    def new_peer(self) -> int:
        self.peers += 1
        return self.peers

    def watch(self, child: Child, died: Callable[[str], None]) -> None:
        self.dying[child.peer] = died

    def later(self, _delay_s: float, callback: Callable[[], None]) -> None:
        callback()

    def tell_scheduler(self, message: m.Message) -> None:
        assert isinstance(message, m.RetireInstance)
        self.retiring.append(message.instance)

    def end(self, peer: int) -> None:
        self.told_to_end.append(peer)

    def further(self, number: int) -> InstancePlace:
        return self._make(number)

    def at(self, peer: int) -> InstancePlace:
        place = self.instances.find(peer)
        assert place is not None
        return place

    def _make(self, number: int) -> InstancePlace:
        def launch(peer: int) -> Child:
            return cast("Child", SimpleNamespace(peer=peer, pid=peer, is_excused=False, lived_s=lambda: 1.0))

        return InstancePlace(self, number, InstanceSpec(f"m_0_{number}", "CPU"), f"instance {number}", launch)

    def _died(self, _place: InstancePlace, reason: str) -> bool:
        self.deaths.append(reason)
        return True

    # What happens.

    def up(self, *peers: int) -> None:
        for peer in peers:
            place = self.instances.find(peer)
            assert place is not None
            self.instances.came_up(place)()

    def die(self, peer: int, reason: str = "exited with code 0") -> None:
        self.dying.pop(peer)(reason)

    def changing(self) -> bool:
        return self.instances.changing

    def serving(self) -> list[int]:
        return [place.peer for place in self.instances if place.up]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.up(1, 2)
    return made


def test_one_takes_the_place_of_another_when_it_is_up_and_not_before(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    assert bench.serving() == [1, 2]
    assert bench.retiring == []
    bench.up(3)
    assert sorted(bench.serving()) == [2, 3]
    assert bench.retiring == [1]
    assert bench.changes == [""]
    assert bench.told_to_end == []
    bench.instances.retired(1)
    assert bench.told_to_end == [1]
    assert bench.changing()
    bench.die(1)
    assert not bench.changing()
    assert bench.peers == 3, "it is not started again"


def test_one_that_cannot_come_changes_nothing(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    bench.die(3, "exited with code 3")
    assert bench.changes == ["exited with code 3"]
    assert bench.serving() == [1, 2]
    assert bench.peers == 3, "it is not tried again by itself"
    assert not bench.changing()


def test_one_that_dies_while_another_comes_is_not_waited_for(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    bench.die(1, "was killed by SIGKILL")
    # It has been started again, and loads.
    assert bench.instances.find(4) is not None
    bench.up(3)
    assert sorted(bench.serving()) == [2, 3]
    assert bench.told_to_end == [4]
    assert bench.retiring == []
    bench.die(4)
    assert bench.peers == 4


def test_one_that_dies_while_it_leaves_is_gone(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    bench.up(3)
    bench.die(1, "was killed by SIGKILL")
    assert not bench.changing()
    assert bench.peers == 3


def test_a_further_one_comes_and_the_last_one_goes(bench: Bench) -> None:
    bench.instances.add(bench.further(2), bench.changes.append)
    bench.up(3)
    assert bench.serving() == [1, 2, 3]
    bench.instances.remove(bench.at(3), lambda text: bench.changes.append(f"gone{text}"))
    assert bench.serving() == [1, 2]
    bench.instances.retired(3)
    bench.die(3)
    assert bench.changes == ["", "gone"]


def test_those_that_are_not_arranged_leave_and_the_others_have_the_numbers_of_their_order(bench: Bench) -> None:
    bench.instances.add(bench.further(9), bench.changes.append)
    bench.up(3)
    bench.instances.arrange([bench.at(3), bench.at(2)])
    assert bench.serving() == [3, 2]
    assert [place.number for place in bench.instances] == [0, 1]
    assert bench.retiring == [1]


def test_nobody_waits_for_those_that_are_abandoned(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    bench.instances.abandon("never mind")
    assert bench.changes == ["never mind"]
    assert bench.told_to_end == [3]
    bench.die(3)
    assert bench.changes == ["never mind"]
    assert bench.serving() == [1, 2]
    assert not bench.changing()


def test_what_leaves_has_nothing_left_where_the_scheduler_is_a_new_one(bench: Bench) -> None:
    bench.instances.remove(bench.at(2), bench.changes.append)
    bench.instances.scheduler_began()
    assert bench.told_to_end == [2]


def test_a_stop_ends_those_that_come_and_leave_too(bench: Bench) -> None:
    bench.instances.replace(0, bench.changes.append)
    bench.up(3)
    bench.instances.replace(1, bench.changes.append)
    bench.instances.stop()
    assert sorted(bench.told_to_end) == [1, 2, 3, 4]


# ---- memory ------------------------------------------------------------------------------------------------------------


class Recycled:
    """The bench's instances under a limit of 100 bytes."""

    def __init__(self, bench: Bench) -> None:
        self.memory = {1: 0, 2: 0}
        self.now_s = 1000.0
        spec = ModelSpec("m", 1, "", "python", 0, (), (), extensions=ExtensionSpec(memory_limit_bytes=100))
        self.version: Any = SimpleNamespace(
            spec=spec, state=State.READY, instances=bench.instances, load=1, replace_instance=bench.instances.replace
        )
        self.recycling = Recycling(
            lambda: [self.version], bench.later, lambda pid: self.memory.get(pid, 0), lambda: self.now_s
        )
        for place in bench.instances:
            place.first_memory_bytes = 10
            place.worked_s = lambda: SERVES_PER_LOAD * 1.0  # type: ignore[method-assign]


def test_one_that_has_grown_too_large_is_replaced_and_only_one_at_a_time(bench: Bench) -> None:
    recycled = Recycled(bench)
    recycled.recycling.look()
    assert bench.peers == 2
    recycled.memory = {1: 101, 2: 101}
    recycled.recycling.look()
    recycled.recycling.look()
    assert bench.peers == 3
    bench.up(3)
    recycled.recycling.look()
    assert bench.peers == 3, "the one before has not ended yet"
    bench.die(1)
    recycled.recycling.look()
    assert bench.peers == 4


def test_one_that_needs_more_from_the_start_is_left_alone(bench: Bench) -> None:
    recycled = Recycled(bench)
    for place in bench.instances:
        place.first_memory_bytes = 101
    recycled.memory = {1: 150, 2: 150}
    recycled.recycling.look()
    assert bench.peers == 2


def test_one_that_has_hardly_served_is_not_replaced_yet(bench: Bench) -> None:
    recycled = Recycled(bench)
    for place in bench.instances:
        place.worked_s = lambda: SERVES_PER_LOAD - 0.1  # type: ignore[method-assign]
    recycled.memory = {1: 150}
    recycled.recycling.look()
    assert bench.peers == 2


def test_after_a_failure_it_is_tried_again_later(bench: Bench) -> None:
    recycled = Recycled(bench)
    recycled.memory = {1: 150}
    recycled.recycling.look()
    bench.die(3, "exited with code 3")
    recycled.recycling.look()
    assert bench.peers == 3
    recycled.now_s += AGAIN_S
    recycled.recycling.look()
    assert bench.peers == 4


def test_a_version_that_does_not_serve_or_has_no_limit_is_left_alone(bench: Bench) -> None:
    recycled = Recycled(bench)
    recycled.memory = {1: 150}
    recycled.version.state = State.UNLOADING
    recycled.recycling.look()
    recycled.version.state = State.READY
    recycled.version.spec = ModelSpec("m", 1, "", "python", 0, (), ())
    recycled.recycling.look()
    assert bench.peers == 2


def test_memory_is_what_the_process_has_for_itself(tmp_path: Any) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(
        "Name:\tx\nRssAnon:\t    10 kB\nRssFile:\t 5000 kB\nRssShmem:\t 7000 kB\nVmSwap:\t       2 kB\n"
    )
    assert own_memory_bytes(7, tmp_path) == 12 * 1024
    assert own_memory_bytes(8, tmp_path) == 0
