"""A core between a scheduler's socket and a worker's slab, stepped by hand."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tis.carrier.datagram import Outbox
from tis.carrier.zmtp import PullSocket
from tis.contracts import messages as m
from tis.contracts.control import requests_path
from tis.contracts.inference import Answer, InputTensor
from tis.contracts.plan import Plan
from tis.errors import TisError
from tis_frontend.core import Core
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Loans, Slab

FRONTEND, WORKER = 2, 10
HALF = 1 << 20
PLAN = Plan("m", 1, 1, b"key", (m.TensorRef(0, (4,), 0, 16),), None, ())
STRINGS = Plan("m", 1, 0, b"", (m.TensorRef(0, (2,), 0, 9),), (0,), (InputTensor("S", "BYTES", (2,), 9),), name="m")


class Bench:
    """A core between a scheduler's socket and a worker's slab."""

    def __init__(self, runtime_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pool = Pool.create(2 * HALF)
        self.worker_slab = Slab(self.pool, [Grant(HALF, HALF)])
        self.loans = Loans(self.pool, self.worker_slab)
        self.scheduler: PullSocket | None = PullSocket(requests_path(runtime_dir))
        self._connection = -1
        slab = Slab(self.pool, [Grant(0, HALF)])
        self.core = Core(runtime_dir, FRONTEND, self.pool, slab, loop)
        self.outbox = Outbox(runtime_dir)
        self.answers: list[Answer] = []

    def close(self) -> None:
        self.core.close()
        self.outbox.close()
        self.stop_scheduler()
        self.answers.clear()
        self.pool.close()
        os.close(self.pool.fd)

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))

    def connect(self) -> None:
        """The core and the scheduler meet."""
        self.core.connect()
        assert self.scheduler is not None
        connection = self.scheduler.accept()
        assert connection is not None
        self._connection = connection
        self.packets()
        self.turn()

    def stop_scheduler(self) -> None:
        """It closes its sockets, as when it dies."""
        if self.scheduler is not None:
            self.scheduler.close()
            self.scheduler = None

    def packets(self) -> list[list[m.AnyMessage]]:
        """What the scheduler has got, packet by packet."""
        assert self.scheduler is not None
        return [m.decode(packet) for packet in self.scheduler.receive(self._connection)]

    def submit(self, data: bytes = bytes(16), plan: Plan = PLAN, client_id: str = "x") -> int:
        block = self.core.take(len(data))
        self.core.writable(block, 0, len(data))[:] = data
        try:
            return self.core.submit(plan, client_id, block, 123, self.answers.append)
        except TisError:
            self.core.discard(block)
            raise

    def sent(self) -> list[m.AnyMessage]:
        """The one packet that the scheduler has got."""
        [packet] = self.packets()
        return packet

    def receive(self, *messages: m.Message) -> None:
        """Something comes into the core's mailbox."""
        for message in messages:
            self.outbox.post(FRONTEND, message)
        self.outbox.flush()
        self.turn()

    def lend(self, data: bytes) -> Block:
        """A worker's output block."""
        block = self.worker_slab.take(len(data))
        assert block is not None
        self.worker_slab.writable(block, 0, len(data))[:] = data
        self.loans.lend(block, FRONTEND)
        return block

    def reply(self, request_id: int, data: bytes = b"abcd") -> Block:
        block = self.lend(data)
        self.receive(m.Reply(request_id, (m.BlockRef(*block),), (m.OutputRef("Y", "INT8", (4,), 0, len(data)),)))
        return block

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = self.loop.create_task(work)
        self.turn()
        return task
