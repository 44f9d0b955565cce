"""What the supervisor counts outlives the processes that it is about."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tis.contracts import messages as m
from tis.settings import ServerSettings
from tis.supervisor.grants import Grants
from tis.supervisor.machine_load import MachineLoad
from tis.supervisor.metrics import Metrics


def counts(settings: ServerSettings | None = None) -> tuple[Metrics, list[tuple[float, Callable[[], None]]]]:
    later: list[tuple[float, Callable[[], None]]] = []
    made = Metrics(settings or ServerSettings(), 1000, lambda delay_s, callback: later.append((delay_s, callback)))
    return made, later


def child(module: str) -> Any:
    return cast("Any", SimpleNamespace(module=module))


def told(metrics: Metrics, *frontends: int) -> m.ServerMetrics:
    places = [cast("Any", SimpleNamespace(peer=peer, title=f"frontend {at}")) for at, peer in enumerate(frontends)]
    models = cast("Any", SimpleNamespace(versions=[], load_times=list))
    return metrics.message(places, models, Grants(4 << 20, 2))


def test_only_a_process_in_the_place_of_another_is_a_restart() -> None:
    metrics, _ = counts()
    metrics.started(child("tis_workers"), 0)
    metrics.started(child("tis_workers"), 7)
    metrics.started(child("tis.scheduler"), 3)
    assert told(metrics).restarts == {"scheduler": 1, "frontend": 0, "worker": 1}


def test_late_answers_of_a_dead_frontend_stay_counted() -> None:
    metrics, _ = counts()
    metrics.heard(m.Heartbeat(5, used_bytes=10, late_answers=3))
    metrics.heard(m.Heartbeat(5, used_bytes=20, late_answers=4))
    metrics.heard(m.Heartbeat(6, late_answers=1))
    assert told(metrics, 5).processes == (m.ProcessMetrics("frontend", "frontend 0", 1 << 20, 20),)
    metrics.ended(5)
    after = told(metrics, 5)
    assert after.late_answers == 5
    assert after.processes[0].used_bytes == 0


def test_the_machine_is_looked_at_only_where_that_is_told() -> None:
    assert [delay_s for delay_s, _ in counts(ServerSettings(metrics_interval_ms=500))[1]] == [0.5]
    assert counts(ServerSettings(allow_cpu_metrics=False))[1] == []
    assert counts(ServerSettings(allow_metrics=False))[1] == []


def test_utilization_is_that_since_the_look_before(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemFree: 5 kB\nMemAvailable: 40 kB\n")
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n")
    load = MachineLoad(tmp_path)
    load.look()
    assert (load.cpu_utilization, load.memory_total_bytes, load.memory_used_bytes) == (0.0, 102400, 61440)
    (tmp_path / "stat").write_text("cpu  150 0 125 710 115 0 0 0 90 0\ncpu0 1 1 1 1\n")
    load.look()
    assert load.cpu_utilization == 0.75


def test_a_machine_without_these_files_is_told_as_it_was(tmp_path: Path) -> None:
    load = MachineLoad(tmp_path)
    load.look()
    assert load.cpu_utilization == load.memory_total_bytes == 0
