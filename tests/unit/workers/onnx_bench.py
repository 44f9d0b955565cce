"""An ONNX model as a worker runs it, without processes: requests lie in a pool, and replies are kept for a reader."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx

from tests.harness.models import Model, Tensor
from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY, encode_bytes
from tis.contracts.model_spec import InstanceSpec, ModelSpec, TensorSpec
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Slab
from tis_workers.backends.base import LoadContext
from tis_workers.backends.onnxruntime_backend import OnnxRuntimeBackend
from tis_workers.output import OutputWriter
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest

Array = npt.NDArray[Any]

ASKER = 7
ALIGNMENT_BYTES = 64


class Answer:
    """A reply that is being read, or the text of an error."""

    def __init__(self, pool: Pool, message: m.Reply | m.Failure) -> None:
        self._pool = pool
        self.error = message.text if isinstance(message, m.Failure) else ""
        self.blocks = [Block(each.offset, each.generation) for each in getattr(message, "blocks", ())]
        self.refs: Sequence[m.OutputRef] = getattr(message, "outputs", None) or ()

    def array(self, name: str) -> Array:
        """An output, read in place."""
        (ref,) = [each for each in self.refs if each.name == name]
        view = self._pool.view(self.blocks[ref.block], ref.start, ref.size_bytes)
        return np.frombuffer(view, NUMPY[ref.datatype]).reshape(ref.shape)

    @property
    def names(self) -> list[str]:
        """Outputs in order."""
        return [each.name for each in self.refs]

    def release(self) -> None:
        """All has been read."""
        for block in self.blocks:
            self._pool.release(block)


class Bench:
    """One model instance, and somebody who asks it."""

    def __init__(
        self, folder: Path, model: Model, *, max_batch_size: int = 8, pool_bytes: int = 8 << 20, **more: Any
    ) -> None:
        path = folder / "m" / "1"
        path.mkdir(parents=True)
        onnx.save(model.proto(), path / "model.onnx")
        instance = InstanceSpec("m_0", "CPU")
        batched = max_batch_size > 0
        self.spec = ModelSpec(
            "m",
            1,
            "onnxruntime_onnx",
            "onnxruntime",
            max_batch_size,
            tuple(_spec(tensor, batched=batched) for tensor in model.inputs),
            tuple(_spec(tensor, batched=batched) for tensor in model.outputs),
            filename="model.onnx",
            model_path=str(folder / "m"),
            instances=(instance,),
            **more,
        )
        self.backend = OnnxRuntimeBackend(LoadContext(self.spec, instance, 1))
        self.backend.serve(self.spec)
        self.pool = Pool.create(pool_bytes + (64 << 20))
        self.inputs = Slab(self.pool, [Grant(pool_bytes, 64 << 20)])
        self.regions = ClientRegions()
        self._sent: deque[Any] = deque()
        self.outbox = cast(Any, Outbox(self._sent))
        self.writer = OutputWriter(self.pool, [Grant(0, pool_bytes)], self.outbox, cast(Any, Control()))
        #: How many runs have gone the common way.
        self.common = 0
        run = self.backend.run

        def counted(*arguments: Any) -> Any:
            self.common += 1
            return run(*arguments)

        cast(Any, self.backend).run = counted

    def request(
        self,
        number: int,
        inputs: Mapping[str, Array],
        outputs: tuple[int, ...] | None = None,
        placements: tuple[m.OutputPlacement, ...] = (),
    ) -> tuple[WorkRequest, Block]:
        """A request, and the block that its inputs lie in."""
        item, block = self.item(number, inputs, outputs, placements)
        return WorkRequest(self.spec, item, self.pool, self.writer, self.regions), block

    def item(
        self,
        number: int,
        inputs: Mapping[str, Array],
        outputs: tuple[int, ...] | None = None,
        placements: tuple[m.OutputPlacement, ...] = (),
    ) -> tuple[m.BatchItem, Block]:
        """A request as a batch brings it, and the block that its inputs lie in."""
        data = [encode_bytes(each) if each.dtype == np.object_ else each.tobytes() for each in inputs.values()]
        block = self.inputs.take(sum(len(each) + ALIGNMENT_BYTES for each in data))
        assert block is not None
        refs, at = [], 0
        for (name, array), each in zip(inputs.items(), data, strict=True):
            self.inputs.writable(block, at, len(each))[:] = each
            index = self.spec.inputs.index(self.spec.inputs_by_name[name])
            refs.append(m.TensorRef(index, array.shape, at, len(each)))
            at += -(-len(each) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        body = m.encode_body(m.WorkBody("", (m.BlockRef(*block),), tuple(refs), outputs, placements))
        batch_size = next(iter(inputs.values())).shape[0] if self.spec.max_batch_size else 0
        return m.BatchItem(number, ASKER, batch_size, body), block

    def run(self, *requests: tuple[WorkRequest, Block]) -> list[Answer]:
        """Execute a batch; the answers in the order of its requests, whose inputs are gone by then."""
        self.backend.execute([request for request, _ in requests])
        for request, block in requests:
            assert request.answered
            request.inputs.clear()
            # What is read too late is not what it was.
            self.inputs.writable(block, 0, 1024)[:] = b"\xee" * 1024
            self.inputs.free(block)
        replies = {message.request_id: message for message in self.sent()}
        assert len(replies) == len(requests)
        return [Answer(self.pool, replies[request.key[1]]) for request, _ in requests]

    def sent(self) -> list[Any]:
        """Messages that were posted since the last look."""
        messages = list(self._sent)
        self._sent.clear()
        return messages

    def ask(self, *inputs: Mapping[str, Array]) -> list[Answer]:
        """Execute a batch of requests with these inputs."""
        return self.run(*[self.request(number + 1, each) for number, each in enumerate(inputs)])

    def close(self) -> None:
        """Nothing must be taken any more: every answer has been released."""
        self.writer.collect()
        left_bytes = self.writer.used_bytes
        os.close(self.pool.fd)
        assert not left_bytes


class Outbox:
    """Keeps what is posted."""

    def __init__(self, sent: deque[Any]) -> None:
        self._sent = sent
        #: Which scheduler each batch was told to be done.
        self.told: dict[int, int] = {}

    def post(self, peer: int, message: Any) -> None:
        self._sent.append(message)
        if isinstance(message, m.BatchDone):
            self.told[message.batch_id] = peer

    def flush(self) -> None:
        """All has gone."""

    def forget(self, peer: int) -> None:
        """It had nothing for a reader who is gone."""


class Control:
    """A supervisor that grants nothing more."""

    peer = 3

    def send(self, message: Any) -> None:
        """It does not matter."""

    def wait_for(self, *_arguments: Any) -> m.GrantReply:
        return m.GrantReply(None)


def _spec(tensor: Tensor, *, batched: bool) -> TensorSpec:
    dims = tensor.dims[1:] if batched else tensor.dims
    return TensorSpec(tensor.name, tensor.datatype, tuple(dim if isinstance(dim, int) else -1 for dim in dims))
