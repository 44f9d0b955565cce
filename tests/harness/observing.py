"""What a running server says of itself: statistics over HTTP, use of the pool in its verbose log."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from tests.harness.server import Server
from tests.harness.waiting import DEADLINE_S, eventually

_HEARTBEAT = re.compile(r"peer (\d+) uses (\d+) bytes of the pool, (\d+) requests pending")
_DEATH = re.compile(r'"([^"]+ \(pid (\d+)\) (?:exited|was killed)[^"]*)"')
_PEER = re.compile(r'"([^"]+) runs as process (\d+), peer (\d+)"')


def statistics(server: Server, model: str) -> dict[str, Any]:
    """Statistics of the only version of a model."""
    status, body = server.get(f"/v2/models/{model}/stats")
    assert status == 200, body
    (stats,) = json.loads(body)["model_stats"]
    found: dict[str, Any] = stats
    return found


def settled(server: Server, model: str, requests: int) -> dict[str, Any]:
    """Statistics once so many requests have succeeded. A request is counted just after its answer has been sent."""

    def look() -> dict[str, Any] | None:
        stats = statistics(server, model)
        return stats if stats["inference_stats"]["success"]["count"] >= requests else None

    found = eventually(look, f"{requests} requests of '{model}' are counted")
    assert found is not None
    assert found["inference_stats"]["success"]["count"] == requests
    return found


def batch_counts(stats: dict[str, Any]) -> dict[int, int]:
    """How many executions of each size there were."""
    return {each["batch_size"]: each["compute_infer"]["count"] for each in stats["batch_stats"]}


def logged_at_s(server: Server, pattern: str) -> float:
    """When the first line of the log that a pattern matches was written, in seconds since the epoch."""
    (line,) = [line for line in server.log().splitlines() if re.search(pattern, line)][:1]
    year = datetime.now(UTC).year
    return datetime.strptime(
        f"{year}{line.split(' ', 2)[0][1:]} {line.split(' ', 2)[1]}Z", "%Y%m%d %H:%M:%S.%f%z"
    ).timestamp()


def deaths(server: Server) -> dict[int, str]:
    """What the log says of processes that ended without being asked to, by process id."""
    return {int(pid): text for text, pid in _DEATH.findall(server.log())}


def pool_use(server: Server, since: int = 0) -> dict[int, tuple[int, int]]:
    """Bytes used and requests pending by peer, from the newest heartbeat of each behind a place in the log."""
    beats = _HEARTBEAT.finditer(server.log(), since)
    return {int(beat[1]): (int(beat[2]), int(beat[3])) for beat in beats}


def living_peers(server: Server) -> set[int]:
    """Peer ids of the processes that live; needs --log-verbose=1."""
    living = set(server.processes())
    return {int(peer) for _, pid, peer in _PEER.findall(server.log()) if int(pid) in living}


def wait_pool_empty(server: Server, deadline_s: float = DEADLINE_S) -> None:
    """Wait until every living process says, in a heartbeat from now on, that it uses nothing of the pool."""
    since = len(server.log())

    def look() -> bool:
        use = pool_use(server, since)
        return living_peers(server) <= set(use) and all(value == (0, 0) for value in use.values())

    eventually(look, f"the pool is unused (last seen: {pool_use(server, since)})", deadline_s)
