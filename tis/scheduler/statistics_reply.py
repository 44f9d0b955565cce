"""Statistics cut into messages that fit the carrier's packets, whatever the number of models and batch sizes."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tis.contracts import messages as m

#: How much of a reply's models one part holds: with a message around it, well below a packet of the carrier.
_PART_BYTES: Final = 64 << 10
#: Batch sizes of one model in one piece; each takes less than a hundred bytes.
_BATCHES: Final = 256


def replies(request_id: int, models: Iterable[m.ModelStatistics]) -> list[m.StatisticsReply]:
    """The answer to a query as one or more messages, the last of them marked."""
    parts: list[list[m.ModelStatistics]] = [[]]
    part_bytes = 0
    for piece in _pieces(models):
        size_bytes = len(m.encode([piece]))
        if parts[-1] and part_bytes + size_bytes > _PART_BYTES:
            parts.append([])
            part_bytes = 0
        parts[-1].append(piece)
        part_bytes += size_bytes
    last = len(parts) - 1
    return [m.StatisticsReply(request_id, tuple(part), number == last) for number, part in enumerate(parts)]


def _pieces(models: Iterable[m.ModelStatistics]) -> Iterator[m.ModelStatistics]:
    """Each model, or several pieces of it where it has very many batch sizes."""
    for model in models:
        yield from (
            msgspec.structs.replace(model, batches=model.batches[start : start + _BATCHES])
            for start in range(0, max(len(model.batches), 1), _BATCHES)
        )


def metrics_replies(
    request_id: int, models: Iterable[m.ModelMetrics], cache: m.CacheMetrics | None = None
) -> list[m.MetricsReply]:
    """The answer to a query for metrics, cut in the same way."""
    parts: list[list[m.ModelMetrics]] = [[]]
    part_bytes = 0
    for model in models:
        size_bytes = len(m.encode([model]))
        if parts[-1] and part_bytes + size_bytes > _PART_BYTES:
            parts.append([])
            part_bytes = 0
        parts[-1].append(model)
        part_bytes += size_bytes
    last = len(parts) - 1
    return [
        m.MetricsReply(request_id, tuple(part), number == last, cache if number == last else None)
        for number, part in enumerate(parts)
    ]
