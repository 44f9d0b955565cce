"""The scheduler process alone: how many small requests a second it sustains on one core, and what a request costs it.

Descriptors of requests go through its socket as frontends send them; mailboxes of this process stand for the workers and
answer every batch at once. So nothing is measured but the scheduler: its own processor time a request, from the kernel's
account, which does not depend on how busy the rest of the machine is.

Run as ``tools/bench/scheduler``; ``--plot FILE`` draws cost against queue length, models and instances.
"""

import argparse
import selectors
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import zmq

from tis.carrier.datagram import Mailbox, Outbox
from tis.carrier.zmtp import PushSocket
from tis.contracts import messages as m
from tis.contracts.control import requests_path
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.settings import ServerSettings
from tis.supervisor.child import Child
from tis.supervisor.control import ControlHub
from tis_shm.pool import Pool

_SCHEDULER: Final = 1
_FRONTEND: Final = 2
_FIRST_WORKER: Final = 10
_PACKET_MESSAGES: Final = 4
_LARGEST_BATCH: Final = 16
_PATIENCE_S: Final = 60.0

_QUEUES: Final = (10, 100, 1_000, 10_000, 100_000)
_MODELS: Final = (1, 10, 100, 1_000)
_INSTANCES: Final = (1, 4, 16, 64)


@dataclass(frozen=True)
class Load:
    """What is asked of the scheduler: requests in flight, spread over models with so many instances each."""

    queued: int = 64
    models: int = 1
    instances: int = 1


@dataclass(frozen=True)
class Cost:
    """What it did: requests a second as seen from outside, and its own time a request."""

    per_second: float
    us: float

    @property
    def sustained(self) -> float:
        """Requests a second with a whole core of its own."""
        return 1e6 / self.us


class Replay:
    """A scheduler process between a pretended frontend and pretended workers."""

    def __init__(self, runtime_dir: Path, load: Load) -> None:
        self._load = load
        self._pool = Pool.create(1 << 20)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._hub = ControlHub(self._context, runtime_dir)
        self._child = Child("tis.scheduler", _SCHEDULER, runtime_dir, self._pool.fd)
        self._await(m.Hello)
        batcher = DynamicBatcherSpec(preferred_batch_sizes=(_LARGEST_BATCH,))
        instances = tuple(InstanceSpec(f"m_{number}", "CPU") for number in range(load.instances))
        specs = [
            ModelSpec(
                f"m{number}",
                1,
                "",
                "onnxruntime",
                _LARGEST_BATCH,
                (),
                (),
                batcher=batcher,
                instances=instances,
                load=number + 1,
            )
            for number in range(load.models)
        ]
        table = m.Table(1, tuple(m.TableEntry(spec, ready=True) for spec in specs))
        self._hub.send(_SCHEDULER, m.Boot(ServerSettings(), (), _SCHEDULER), table)
        self._await(m.Up)
        self._selector = selectors.EpollSelector()
        self._boxes: dict[int, Mailbox] = {}
        for number, spec in enumerate(specs):
            for instance in range(load.instances):
                peer = _FIRST_WORKER + number * load.instances + instance
                self._boxes[peer] = Mailbox(runtime_dir, peer)
                self._selector.register(self._boxes[peer], selectors.EVENT_READ, peer)
                self._hub.send(_SCHEDULER, m.InstanceUp(peer, spec.name, 1, instance, spec.load))
        self._outbox = Outbox(runtime_dir)
        self._socket = PushSocket(requests_path(runtime_dir))
        self._socket.connect()
        self._body = msgspec.Raw(
            m.encode_body(m.WorkBody("", (m.BlockRef(0, 1),), (m.TensorRef(0, (1, 16), 0, 64),), None))
        )
        self._sent = 0

    def run(self, seconds: float) -> Cost:
        """Keep the load up for so long."""
        self._send(self._load.queued)
        self._serve(0.5)
        began_s, began_ns = time.monotonic(), self._cpu_ns()
        done = self._serve(seconds)
        took_s, took_ns = time.monotonic() - began_s, self._cpu_ns() - began_ns
        return Cost(done / took_s, took_ns / 1000 / max(done, 1))

    def _serve(self, seconds: float) -> int:
        """Answer batches and replace their requests by new ones; gives the number of requests."""
        done = 0
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            finished = 0
            for key, _ in self._selector.select(0.1):
                for batch in self._boxes[key.data].receive():
                    if isinstance(batch, m.Batch):
                        now_ns = time.monotonic_ns()
                        times = (now_ns, now_ns, now_ns, now_ns)
                        self._outbox.post(_SCHEDULER, m.BatchDone(batch.batch_id, key.data, *times))
                        finished += len(batch.items)
            self._outbox.flush()
            self._send(finished)
            done += finished
        return done

    def _send(self, number: int) -> None:
        """So many new requests, in packets as a frontend's."""
        now_ns = time.monotonic_ns()
        for first in range(0, number, _PACKET_MESSAGES):
            packet = []
            for _ in range(min(_PACKET_MESSAGES, number - first)):
                self._sent += 1
                model = f"m{self._sent % self._load.models}"
                packet.append(m.Infer(self._sent, _FRONTEND, model, 1, 1, b"", now_ns, self._body))
            self._socket.send(m.encode(packet))
        self._socket.heard()
        while self._socket.blocked:
            self._socket.resume()

    def _cpu_ns(self) -> int:
        return int(Path(f"/proc/{self._child.pid}/schedstat").read_text().split()[0])

    def _await(self, kind: type[m.Message]) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            if any(isinstance(message, kind) for message in self._hub.receive()):
                return
            time.sleep(0.01)
        raise TimeoutError(f"the scheduler never said {kind.__name__}")

    def close(self) -> None:
        """End the scheduler."""
        self._child.kill()
        self._child.reap()
        for box in self._boxes.values():
            box.close()
        self._outbox.close()
        self._hub.close()
        self._context.term()


@contextmanager
def replay(load: Load) -> Iterator[Replay]:
    """A scheduler under this load."""
    runtime_dir = Path(tempfile.mkdtemp(prefix="tis-replay-"))
    made = Replay(runtime_dir, load)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(runtime_dir, ignore_errors=True)


def measure(load: Load, seconds: float, rounds: int) -> Cost:
    """The cheapest of several rounds: what disturbs one only adds to it."""
    costs = []
    for _ in range(rounds):
        with replay(load) as running:
            costs.append(running.run(seconds))
    return min(costs, key=lambda cost: cost.us)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; draw if asked."""
    parser = argparse.ArgumentParser(prog="tools/bench/scheduler", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each load; the cheapest counts")
    parser.add_argument("--plot", type=Path, help="draw the costs to this PNG file")
    arguments = parser.parse_args(argv)
    series = {
        "requests in flight": [Load(queued=each) for each in _QUEUES],
        "models": [Load(queued=64 * each, models=each) for each in _MODELS],
        "instances": [Load(queued=64 * each, instances=each) for each in _INSTANCES],
    }
    points: dict[str, list[tuple[int, Cost]]] = {}
    for name, loads in series.items():
        for load in loads:
            number = {"requests in flight": load.queued, "models": load.models, "instances": load.instances}[name]
            cost = measure(load, arguments.seconds, arguments.rounds)
            points.setdefault(name, []).append((number, cost))
            print(f"{number:>7} {name:<20} {cost.us:6.2f} us a request, {cost.sustained:8.0f}/s on a core", flush=True)
    if arguments.plot:
        draw(points, arguments.plot)
    return 0


def draw(points: dict[str, list[tuple[int, Cost]]], path: Path) -> None:
    """Cost of a request against each number, on logarithmic axes of numbers."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(points), figsize=(12, 3.6), sharey=True)
    for axis, (name, found) in zip(axes, points.items(), strict=True):
        axis.plot([number for number, _ in found], [cost.us for _, cost in found], marker="o")
        axis.set_xscale("log")
        axis.set_xlabel(name)
        axis.grid(visible=True, alpha=0.3)
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("scheduler's time a request, µs")
    figure.suptitle("What a small request costs the scheduler")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
