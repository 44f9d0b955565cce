"""A scheduler's loop with mailboxes for everybody it talks to, stepped by hand."""

import time
from pathlib import Path

import msgspec
import zmq

from tis.carrier.datagram import Mailbox, Outbox
from tis.contracts import messages as m
from tis.contracts.control import ControlLink, control_address
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.scheduler.loop import SchedulerLoop
from tis_shm.pool import Pool

SCHEDULER, FRONTEND, OTHER_FRONTEND, WORKER, OTHER_WORKER = 1, 2, 3, 10, 11
PATIENCE_MS = 10_000
SPEC = ModelSpec("m", 1, "", "onnxruntime", 8, (), (), batcher=DynamicBatcherSpec(), load=7)


class Bench:
    """A scheduler's loop with mailboxes for everybody it talks to."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.hub = self.context.socket(zmq.ROUTER)
        self.hub.bind(control_address(runtime_dir))
        control = ControlLink(self.context, runtime_dir, SCHEDULER)
        self.pool = Pool.create(1 << 20)
        self.loop = SchedulerLoop(runtime_dir, SCHEDULER, control, self.pool)
        self.boxes = {peer: Mailbox(runtime_dir, peer) for peer in (FRONTEND, OTHER_FRONTEND, WORKER, OTHER_WORKER)}
        self._from_worker = Outbox(runtime_dir)
        self._said: list[m.AnyMessage] = []

    def close(self) -> None:
        for box in self.boxes.values():
            box.close()
        self._from_worker.close()
        self.loop._close()
        self.context.destroy(linger=0)

    def turn(self) -> None:
        """What a turn of the loop does after it has received."""
        self.loop._dispatch()
        self.loop._outbox.flush()

    def control(self, *messages: m.AnyMessage) -> None:
        for message in messages:
            self.loop._on_control(message)
        self.turn()

    def ask(self, number: int, *, asker: int = FRONTEND, model: str = "m", version: int = 1, load: int = 0) -> None:
        body = msgspec.Raw(msgspec.msgpack.encode([number]))
        infer = m.Infer(number, asker, model, version, 1, b"", time.monotonic_ns(), body, load=load)
        self.loop._desk.enqueue(infer, time.monotonic_ns())
        self.turn()

    def cancel(self, number: int, *, asker: int = FRONTEND) -> None:
        self.loop._desk.cancel(asker, number, time.monotonic_ns())
        self.turn()

    def batch(self, worker: int = WORKER) -> m.Batch:
        """The one batch that a worker was given."""
        [batch] = self.boxes[worker].receive()
        assert isinstance(batch, m.Batch)
        return batch

    def finish(self, batch: m.Batch, worker: int = WORKER) -> None:
        now_ns = time.monotonic_ns()
        self.loop._desk.from_worker(m.BatchDone(batch.batch_id, worker, now_ns, now_ns, now_ns, now_ns), now_ns)
        self.turn()

    def failures(self, asker: int = FRONTEND) -> list[tuple[int, str]]:
        found = self.boxes[asker].receive()
        assert all(isinstance(each, m.Failure) for each in found)
        return [(each.request_id, each.code) for each in found if isinstance(each, m.Failure)]

    def said(self, kind: type[m.Message]) -> m.AnyMessage:
        """The next message of a kind that the supervisor hears."""
        while True:
            while self._said:
                message = self._said.pop(0)
                if isinstance(message, kind):
                    return message
            assert self.hub.poll(PATIENCE_MS), f"the supervisor never heard {kind.__name__}"
            self._said += m.decode(self.hub.recv_multipart()[1])

    def heard_nothing_but(self, last: m.Message) -> list[m.AnyMessage]:
        """Everything the supervisor hears up to this message, which is sent now."""
        self.loop._control.send(last)
        heard: list[m.AnyMessage] = []
        while last not in heard:
            assert self.hub.poll(PATIENCE_MS)
            heard += m.decode(self.hub.recv_multipart()[1])
        return heard


def table(*specs: ModelSpec, ready: bool = True, epoch: int = 1) -> m.Table:
    return m.Table(epoch, tuple(m.TableEntry(spec, ready) for spec in specs))


def serving(bench: Bench, *workers: int) -> None:
    bench.control(table(SPEC), *[m.InstanceUp(worker, "m", 1, load=7) for worker in workers or (WORKER,)])
