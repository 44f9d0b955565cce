"""A server from its start to its stop, with hostile direct clients in between."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.harness.direct import DirectClient, address_of, infer, zmq_flag
from tests.harness.models import identity
from tests.harness.native_models import write_repeat
from tests.harness.observing import deaths, wait_pool_empty
from tests.harness.processes import open_files, pss_bytes
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually
from tools.hostile_direct.messages import VALUES, Wild
from tools.hostile_direct.report import Report

_CONNECTIONS: Final = 10
_LAST_ID: Final = 1 << 50
_MOST_GROWTH_BYTES: Final = 32 << 20
_SETTLED_S: Final = 10.0


def attack(messages: int, clients: int, seed: int, folder: Path) -> Report:
    """Send so many wild messages to a server of its own, kill so many clients, and look at what stays."""
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
    write_repeat(folder / "models")
    server = Server(folder / "models", "--log-verbose=1", zmq_flag(folder), log=folder / "log")
    report = Report()
    try:
        server.start().wait_ready()
        address = address_of(server)
        # What every client makes once is no growth.
        send_wild(server, address, 500, seed + 1, Report())
        kill_clients(address, 50, seed + 1, Report())
        processes = sorted(server.processes())
        report.before_bytes = pss_bytes(server.processes())
        send_wild(server, address, messages, seed, report)
        kill_clients(address, clients, seed, report)
        _look(server, address, report)
        if sorted(server.processes()) != processes:
            report.problems.append(f"other processes than before: {processes}, {sorted(server.processes())}")
        code = server.stop()
        if code:
            report.problems.append(f"the server's exit code is {code}")
    finally:
        try:
            server.close()
        except AssertionError as error:
            report.problems.append(str(error))
    return report


def send_wild(server: Server, address: str, messages: int, seed: int, report: Report) -> None:
    """Wild messages over some connections, while a well-behaved client is served."""
    began_s = time.monotonic()
    with DirectClient(address) as witness:
        for number in range(_CONNECTIONS):
            wild = Wild(seed + number)
            _say_wild(DirectClient(address, greet=number % 5 > 0), wild, messages // _CONNECTIONS, report)
            if witness.ask(infer(1, "echo", VALUES, "FP32"))[1] != [VALUES.tobytes()]:
                report.problems.append("a well-behaved client got a wrong answer")
    report.messages_s += time.monotonic() - began_s
    report.problems += deaths(server).values()


def _say_wild(client: DirectClient, wild: Wild, messages: int, report: Report) -> None:
    with client:
        for number in range(2, 2 + messages):
            head, frames = wild.message(number)
            client.send(head, *frames)
            report.messages += 1
            while not client.hears_nothing(0):
                _hear(client, wild, report)
        # It is still answered, or asked for a hello.
        client.send({"type": "ping", "id": _LAST_ID})
        while _hear(client, wild, report) != _LAST_ID:
            pass


def _hear(client: DirectClient, wild: Wild, report: Report) -> int:
    heard, _ = client.receive()
    if heard["type"] == "granted":
        wild.regions.append(heard["region"])
    report.answers[f"{heard['type']} {heard['code']}" if heard["type"] == "error" else heard["type"]] += 1
    number: int = heard.get("id", 0)
    return number


def kill_clients(address: str, clients: int, seed: int, report: Report) -> None:
    """Clients that are killed at random points, by a process that has no threads and may fork."""
    began_s = time.monotonic()
    command = [sys.executable, "-m", "tools.hostile_direct.victims", address, str(clients), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        report.problems.append(f"the clients could not be run: {done.stderr}")
        return
    for mode, stage, count in json.loads(done.stdout):
        report.killed[mode, stage] += count
        if stage.startswith("FAILED"):
            report.problems.append(f"{count} x {mode}: {stage}: {done.stderr[:500]}")
    report.killed_s += time.monotonic() - began_s


def held(server: Server) -> int:
    """Regions that the server holds for clients."""
    return sum(each.startswith("/memfd:tis-granted") for each in open_files(server.process.pid))


def _look(server: Server, address: str, report: Report) -> None:
    with DirectClient(address) as client:
        if client.ask(infer(1, "echo", VALUES, "FP32"))[1] != [VALUES.tobytes()]:
            report.problems.append("it does not serve")
    try:
        eventually(lambda: not held(server), "no region is held")
        wait_pool_empty(server)
    except AssertionError as error:
        report.problems.append(str(error).split("\n", 1)[0])
    report.problems += deaths(server).values()
    if "Traceback" in server.log():
        at = server.log().index("Traceback")
        report.problems.append(server.log()[at : at + 2000])
    report.after_bytes = _settled_bytes(server, report.before_bytes + _MOST_GROWTH_BYTES)
    if report.after_bytes - report.before_bytes > _MOST_GROWTH_BYTES:
        report.problems.append(f"memory has grown by {report.after_bytes - report.before_bytes} bytes")


def _settled_bytes(server: Server, most_bytes: int) -> int:
    """What the server takes once that is no more than so much, or in the end.

    Workers have the regions of those who have gone mapped for two more seconds.
    """
    end_s = time.monotonic() + _SETTLED_S
    while True:
        found = pss_bytes(server.processes())
        if found <= most_bytes or time.monotonic() > end_s:
            return found
        time.sleep(0.2)
