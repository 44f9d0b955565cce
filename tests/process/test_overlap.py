"""Batches that are prepared and answered beside others, in a real worker: right, counted once, and lost with it alone."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import slow
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import ServerProcess
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

_CLIENTS: Final = 8
_MODEL: Final = "slow"


@pytest.fixture
def server(new_server: StartServer, tmp_path: Path) -> Server:
    """One model, whose executions take 5 ms and more."""
    slow().write(tmp_path / "models", _MODEL, max_batch_size=4, extra=one_cpu() + BATCHING)
    return new_server(tmp_path / "models").start()


def threads_of(process: ServerProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


class Crowd:
    """Clients that ask without a pause, each for numbers of its own; their answers are checked and noted."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        #: How often which outcome came: a status, `wrong` for a wrong answer, `lost` for a lost connection.
        self.outcomes: Counter[int | str] = Counter()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(_CLIENTS)]

    def wait_right(self, count: int) -> None:
        """Wait for so many more right answers."""
        enough = self.outcomes[200] + count
        eventually(lambda: self.outcomes[200] >= enough, f"{count} more right answers, not {self.outcomes}")

    @contextmanager
    def asking(self) -> Iterator["Crowd"]:
        """While they ask. Each of their requests has an outcome in the end."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a request was never answered"

    def _ask(self, number: int) -> None:
        asked = rounds(5) + number
        while not self._stop.is_set():
            try:
                with Connection(self._server) as connection:
                    while not self._stop.is_set():
                        asked += _CLIENTS
                        sent = np.array([[asked]], np.int64)
                        self._note(connection.call(infer_post(_MODEL, binary_body({"ROUNDS": sent}))), sent)
            except ConnectionRefusedError:
                return
            except OSError:
                self._count("lost")

    def _note(self, answer: Response, sent: "np.ndarray[tuple[int, int], np.dtype[np.int64]]") -> None:
        wrong = answer.status == 200 and not answer.body.endswith(sent.tobytes())
        self._count("wrong" if wrong else answer.status)

    def _count(self, outcome: int | str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1


def test_under_load_every_answer_is_right_and_every_request_is_counted_once(server: Server) -> None:
    worker = server.worker_of(_MODEL)
    alone = threads_of(worker)
    with Crowd(server).asking() as crowd:
        crowd.wait_right(50)
        assert threads_of(worker) > alone, "batches have overlapped"
        crowd.wait_right(200)
    assert set(crowd.outcomes) == {200}, crowd.outcomes
    stats = settled(server, _MODEL, crowd.outcomes[200])
    assert stats["inference_count"] == crowd.outcomes[200]
    wait_pool_empty(server)


def test_what_waited_ready_counts_as_queued_and_never_longer_than_it_took(server: Server) -> None:
    with Crowd(server).asking() as crowd:
        crowd.wait_right(200)
    stats = settled(server, _MODEL, crowd.outcomes[200])["inference_stats"]
    parts_ns = sum(stats[part]["ns"] for part in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert parts_ns <= stats["success"]["ns"]
    # Eight clients, four in a batch: everybody waits for about one other batch.
    assert stats["queue"]["ns"] > stats["compute_infer"]["ns"] / 4
    assert stats["compute_input"]["ns"] < stats["compute_infer"]["ns"] / 4


def test_of_a_worker_that_dies_the_requests_fail_and_nothing_is_stuck_or_left(server: Server) -> None:
    with Crowd(server).asking() as crowd:
        for _ in range(2):
            crowd.wait_right(60)
            server.kill(server.worker_of(_MODEL))
            crowd.wait_right(60)
    assert set(crowd.outcomes) <= {200, 503}, crowd.outcomes
    # The batch that ran, the one before it, and the one after, of each of the two.
    assert crowd.outcomes[503] <= 2 * 3 * 4
    server.wait_ready()
    wait_pool_empty(server)


def test_a_stop_under_load_answers_what_has_been_taken(server: Server) -> None:
    with Crowd(server).asking() as crowd:
        crowd.wait_right(60)
        server.signal(signal.SIGTERM)
        assert server.wait_ended() == 0
    assert set(crowd.outcomes) <= {200, 503, "lost"}, crowd.outcomes
    # At most the request that each was sending on a connection that ended.
    assert crowd.outcomes["lost"] <= _CLIENTS


def test_clients_that_leave_in_the_middle_harm_nobody(server: Server) -> None:
    sent = infer_post(_MODEL, binary_body({"ROUNDS": np.array([[rounds(5)]], np.int64)}))
    with Crowd(server).asking() as crowd:
        for _ in range(40):
            with Connection(server) as leaving:
                leaving.send(sent)
            crowd.wait_right(4)
    assert set(crowd.outcomes) == {200}, crowd.outcomes
    eventually(
        lambda: statistics(server, _MODEL)["inference_stats"]["success"]["count"] >= crowd.outcomes[200], "counts"
    )
    wait_pool_empty(server)
