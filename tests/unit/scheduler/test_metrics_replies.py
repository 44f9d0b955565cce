"""Metrics of many models travel in parts that fit the carrier, and come out as they went in."""

import asyncio

from tis.contracts import messages as m
from tis.scheduler.statistics_reply import metrics_replies
from tis_frontend.metrics.query import MetricsQuery

CACHE = m.CacheMetrics(0.5, 1, 2, 3, 4, 5, 6, 7)


def models(count: int) -> list[m.ModelMetrics]:
    tags = {"team": "x" * 100}
    return [
        m.ModelMetrics(f"model-{number}", 1, 1 << 40, (1, 2, 3, 4), 5, 6, (1 << 50,) * 5, 7, tags)
        for number in range(count)
    ]


def test_no_part_is_larger_than_a_packet_and_only_the_last_is_marked() -> None:
    parts = metrics_replies(9, models(2000))
    assert len(parts) > 1
    assert all(len(m.encode([part])) < 100 << 10 for part in parts)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_without_models_there_is_still_an_answer() -> None:
    assert metrics_replies(9, []) == [m.MetricsReply(9, ())]


def test_the_asker_gets_all_parts_in_order() -> None:
    async def ask() -> list[m.ModelMetrics]:
        query = MetricsQuery(asyncio.get_running_loop())
        for part in metrics_replies(9, models(2000), CACHE):
            [travelled] = m.decode(m.encode([part]))
            assert isinstance(travelled, m.MetricsReply)
            query.add(travelled)
        found, cache = await query.answer
        assert cache == CACHE
        return found

    assert asyncio.run(ask()) == models(2000)
