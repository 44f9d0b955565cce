"""An instance whose memory grows beyond its limit gives its work over to a fresh one, and no request notices."""

from pathlib import Path

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import successor
from tests.harness.traffic import Chatter
from tests.harness.troubled_models import leaks
from tests.harness.waiting import eventually

_LIMIT_BYTES = 300 << 20
_KEPT_BYTES = 1 << 20


@pytest.mark.slow
def test_an_instance_that_leaks_is_replaced_again_and_again_and_no_request_fails(
    new_server: StartServer, tmp_path: Path
) -> None:
    leaks(_KEPT_BYTES, memory_limit_bytes=_LIMIT_BYTES).write(tmp_path / "models", "leaks")
    server = new_server(tmp_path / "models").start()
    with Chatter(server, "leaks") as one, Chatter(server, "leaks") as other:
        for turn in range(1, 3):
            worker = server.worker_of("leaks")
            server.wait_for_log(rf"(?s)(has given its work over.*){{{turn}}}", 90.0)
            successor(lambda: [server.worker_of("leaks")], worker)
            eventually(lambda: len(server.workers()) == 1, "the one before has ended")
            one.wait_right(5)
            other.wait_right(5)
    assert set(one.outcomes) | set(other.outcomes) == {200}, (one.outcomes, other.outcomes)
    assert "has died" not in server.log()
    server.wait_ready()
    wait_pool_empty(server)


def test_a_limit_below_what_a_fresh_instance_needs_is_said_and_nothing_is_replaced(
    new_server: StartServer, tmp_path: Path
) -> None:
    leaks(0, memory_limit_bytes=1 << 20).write(tmp_path / "models", "leaks")
    server = new_server(tmp_path / "models").start()
    worker = server.worker_of("leaks")
    server.wait_for_log(r"MiB as soon as it is loaded, more than its tis.memory_limit_bytes of 1 MiB")
    with Chatter(server, "leaks") as chatter:
        chatter.wait_right(10)
    assert server.worker_of("leaks") == worker
