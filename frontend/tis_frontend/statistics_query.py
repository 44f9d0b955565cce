"""A question for statistics that waits for its answer, which may come in parts (see `StatisticsReply`)."""

import asyncio

import msgspec

from tis.contracts import messages as m
from tis.errors import TisError


def _key(model: m.ModelStatistics) -> tuple[str, str, int]:
    return model.namespace, model.name, model.version


class StatisticsQuery:
    """One query; `answer` is what its asker awaits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[tuple[m.ModelStatistics, ...]] = loop.create_future()
        self._models: list[m.ModelStatistics] = []

    def add(self, reply: m.StatisticsReply) -> bool:
        """A part has come. True where it was the last one."""
        for model in reply.models:
            before = self._models[-1] if self._models else None
            if before is not None and _key(before) == _key(model):
                # Batch sizes of the same model, continued.
                self._models[-1] = msgspec.structs.replace(before, batches=before.batches + model.batches)
            else:
                self._models.append(model)
        if reply.last and not self.answer.done():
            self.answer.set_result(tuple(self._models))
        return reply.last

    def fail(self, error: TisError) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self.answer.set_exception(error)
