"""Clients that are killed: real processes, forked off a warm one, that end by SIGKILL somewhere in what they do.

    python -m tools.hostile_direct.victims ADDRESS COUNT SEED

Prints as JSON how many got how far, by what they did.
"""

import itertools
import json
import mmap
import os
import random
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import zmq

from tis.client import Client

#: Killed by the parent after a time up to this; others kill themselves at a step.
_LONGEST_LIFE_S: Final = 0.15
_MOST_STEPS: Final = 12
_AT_ONCE: Final = 8
_BIG: Final = np.arange(100_000, dtype=np.float32)
_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY: Final = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"

#: Says how far a client has come, and may be its end.
Step = Callable[[str], None]


class _Wire:
    """The bare protocol."""

    def __init__(self, address: str, step: Step) -> None:
        self._socket = zmq.Context().socket(zmq.DEALER)
        self._socket.connect(address)
        self._step = step
        self._numbers = itertools.count(1)
        step("connected")
        self.ask({"type": "hello", "version": 1}, "greeted")

    def number(self) -> int:
        return next(self._numbers)

    def send(self, head: dict[str, Any], *frames: Any) -> None:
        self._socket.send_multipart([msgpack.packb(head), *frames])
        self._step("asked")

    def receive(self, stage: str) -> dict[str, Any]:
        head: dict[str, Any] = msgpack.unpackb(self._socket.recv_multipart()[0])
        self._step(stage)
        return head

    def ask(self, head: dict[str, Any], stage: str, *frames: Any) -> dict[str, Any]:
        self.send(head, *frames)
        return self.receive(stage)


def _tensor(**where: Any) -> dict[str, Any]:
    return {"name": "INPUT0", "datatype": "FP32", "shape": [_BIG.size], **where}


def _inline(address: str, step: Step) -> None:
    wire = _Wire(address, step)
    while True:
        tensor = _tensor(data=_BIG.tobytes())
        wire.ask({"type": "infer", "id": wire.number(), "model": "echo", "inputs": [tensor]}, "answered")


def _frames(address: str, step: Step) -> None:
    wire = _Wire(address, step)
    while True:
        for _ in range(8):
            head = {"type": "infer", "id": wire.number(), "model": "echo", "inputs": [_tensor(frame=0)]}
            wire.send(head, _BIG.tobytes())
        for _ in range(8):
            wire.receive("answered")


def _granted(address: str, step: Step) -> None:
    wire = _Wire(address, step)
    while True:
        grant = wire.ask({"type": "grant", "id": wire.number(), "size": 1 << 20}, "granted")
        fd = os.open(grant["path"], os.O_RDWR)
        memory = mmap.mmap(fd, grant["size"])
        os.close(fd)
        memory[: _BIG.nbytes] = _BIG.tobytes()
        _use(wire, grant["region"])
        wire.ask({"type": "release", "id": wire.number(), "region": grant["region"]}, "released")


def _registered(address: str, step: Step) -> None:
    wire = _Wire(address, step)
    while True:
        about = {"region": "mine", "key": f"/{_key(os.getppid())}", "size": 1 << 20}
        wire.ask({"type": "register", "id": wire.number(), **about}, "granted")
        _use(wire, "mine")
        wire.ask({"type": "release", "id": wire.number(), "region": "mine"}, "released")


def _use(wire: _Wire, region: str) -> None:
    place = {"region": region, "size": _BIG.nbytes}
    output = {"name": "OUTPUT0", "region": region, "offset": 500_032, "size": _BIG.nbytes}
    head = {"type": "infer", "model": "echo", "inputs": [_tensor(**place)], "outputs": [output]}
    for _ in range(3):
        wire.send({**head, "id": wire.number()})
        wire.send({**head, "id": wire.number()})
        wire.receive("answered")
        wire.receive("answered")


def _streaming(address: str, step: Step) -> None:
    wire = _Wire(address, step)
    count = 50
    about = {
        "IN": ("INT32", np.arange(count, dtype=np.int32)),
        "DELAY": ("UINT32", np.ones(count, np.uint32)),
        "WAIT": ("UINT32", np.ones(1, np.uint32)),
    }
    inputs = [
        {"name": name, "datatype": datatype, "shape": [array.size], "data": array.tobytes()}
        for name, (datatype, array) in about.items()
    ]
    while True:
        wire.send({"type": "infer", "id": wire.number(), "model": "repeat", "inputs": inputs})
        while not wire.receive("answered").get("final", True):
            pass


def _library(address: str, step: Step) -> None:
    step("connected")
    with Client(address) as client:
        step("greeted")
        while True:
            array = client.empty(_BIG.shape, np.float32)
            array[:] = _BIG
            step("granted")
            with client.infer("echo", {"INPUT0": array}) as result:
                assert result["OUTPUT0"][-1] == _BIG[-1]
            step("answered")


def _own_memory(address: str, step: Step) -> None:
    step("connected")
    with Client(address) as client:
        step("greeted")
        shared = client.share(_key(os.getppid()))
        while True:
            with client.region(2 * _BIG.nbytes) as region:
                step("granted")
                array = region.array(_BIG.shape, np.float32)
                array[:] = _BIG
                for target in (region, shared):
                    came = target.array(_BIG.shape, np.float32, offset=_BIG.nbytes)
                    client.infer("echo", {"INPUT0": array}, outputs={"OUTPUT0": came}).release()
                    step("answered")
            step("released")


def _halves(address: str, step: Step) -> None:
    """Bytes in small pieces, so that the end is somewhere inside of a frame."""
    hello = msgpack.packb({"type": "hello", "version": 1})
    head = msgpack.packb({"type": "infer", "id": 1, "model": "echo", "inputs": [_tensor(frame=0)]})
    whole = _GREETING + _READY + bytes((0, len(hello))) + hello + bytes((1, len(head))) + head
    whole += b"\x02" + _BIG.nbytes.to_bytes(8, "big") + _BIG.tobytes()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(address.removeprefix("ipc://"))
        step("connected")
        cuts = sorted(random.sample(range(1, 300), 6)) + sorted(random.sample(range(300, len(whole)), 6))
        for begin, end in itertools.pairwise([0, *cuts, len(whole)]):
            raw.sendall(whole[begin:end])
            step("asked")
        while True:
            raw.recv(1 << 20)
            step("answered")


MODES: Final[dict[str, Callable[[str, Step], None]]] = {
    "inline": _inline,
    "frames": _frames,
    "granted": _granted,
    "registered": _registered,
    "streaming": _streaming,
    "library": _library,
    "own memory": _own_memory,
    "halves": _halves,
}


class _Victim:
    """A child process, and how far it has come."""

    def __init__(self, address: str, mode: str, chance: random.Random) -> None:
        self.mode = mode
        self.stage = "started"
        self._stages, theirs = os.pipe()
        # Some stop themselves between two steps, the others are stopped wherever they are.
        steps = chance.randrange(1, _MOST_STEPS) if chance.random() < 0.5 else 0
        life_s = 10.0 if steps else chance.uniform(0, _LONGEST_LIFE_S)
        seed = chance.getrandbits(32)
        self.pid = os.fork()
        if not self.pid:
            os.close(self._stages)
            _live(address, mode, steps, seed, theirs)
        os.close(theirs)
        self.end_s = time.monotonic() + life_s

    def ended(self) -> bool:
        """Kill it if its time is over; True once it is dead."""
        if time.monotonic() >= self.end_s:
            os.kill(self.pid, signal.SIGKILL)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return False
        said = b""
        while data := os.read(self._stages, 65536):
            said += data
        os.close(self._stages)
        words = said.decode().split()
        self.stage = words[-1] if words else "started"
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            self.stage = f"FAILED after {self.stage}: {os.waitstatus_to_exitcode(status)}"
        return True


def _live(address: str, mode: str, steps: int, seed: int, stages: int) -> None:
    random.seed(seed)
    left = steps

    def step(stage: str) -> None:
        nonlocal left
        os.write(stages, stage.encode() + b"\n")
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        MODES[mode](address, step)
    except BaseException as error:  # noqa: BLE001 - the child must end here and nowhere else
        sys.stderr.write(f"{mode}: {type(error).__name__}: {error}\n")
    os._exit(1)


def _key(pid: int) -> str:
    return f"tis-test-victims-{pid}"


def kill(address: str, count: int, seed: int) -> Counter[tuple[str, str]]:
    """Start so many clients, some at a time, and see all of them killed; gives how many did what, and got how far."""
    chance = random.Random(seed)
    found: Counter[tuple[str, str]] = Counter()
    modes = itertools.cycle(MODES)
    alive: list[_Victim] = []
    started = 0
    fd = os.open(f"/dev/shm/{_key(os.getpid())}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.truncate(fd, 1 << 20)
        while started < count or alive:
            while started < count and len(alive) < _AT_ONCE:
                alive.append(_Victim(address, next(modes), chance))
                started += 1
            for victim in [each for each in alive if each.ended()]:
                alive.remove(victim)
                found[victim.mode, victim.stage] += 1
            select.select([], [], [], 0.001)
    finally:
        os.close(fd)
        Path(f"/dev/shm/{_key(os.getpid())}").unlink()
    return found


if __name__ == "__main__":
    killed = kill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps([[*key, count] for key, count in killed.items()]))
