"""Statistics of any number of models and batch sizes leave in packets that the carrier takes, and arrive whole."""

import asyncio

import pytest

from tis.carrier.datagram import PACKET_BYTES
from tis.contracts import messages as m
from tis.errors import TisError, unavailable
from tis.scheduler.statistics_reply import replies
from tis_frontend.statistics_query import StatisticsQuery

BIG = 2**62


def statistics(name: str, batch_sizes: int) -> m.ModelStatistics:
    duration = m.Duration(BIG, BIG)
    batches = tuple(m.BatchStatistics(size + 1, duration, duration, duration) for size in range(batch_sizes))
    return m.ModelStatistics(
        name, 1, BIG, BIG, BIG, duration, duration, duration, duration, duration, duration, batches
    )


@pytest.mark.parametrize(
    "models",
    [[], [statistics("m", 0)], [statistics("m", 10_000)], [statistics(f"m{i:0200}", i % 700) for i in range(300)]],
    ids=["none", "one", "many batch sizes", "many models"],
)
def test_what_is_cut_up_fits_and_comes_together_again(models: list[m.ModelStatistics]) -> None:
    loop = asyncio.new_event_loop()
    query = StatisticsQuery(loop)
    parts = replies(7, models)
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    for part in parts:
        packet = m.encode([part])
        assert len(packet) < PACKET_BYTES
        [arrived] = m.decode(packet)
        assert isinstance(arrived, m.StatisticsReply)
        assert arrived.request_id == 7
        assert query.add(arrived) is arrived.last
    assert query.answer.result() == tuple(models)
    loop.close()


def test_a_query_whose_answer_never_comes_fails() -> None:
    loop = asyncio.new_event_loop()
    query = StatisticsQuery(loop)
    query.add(m.StatisticsReply(1, (statistics("m", 1),), last=False))
    query.fail(unavailable("gone"))
    with pytest.raises(TisError, match="gone"):
        query.answer.result()
    loop.close()
