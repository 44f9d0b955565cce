"""Who is sent the model table, and when."""

from tis.contracts import messages as m
from tis.supervisor.publication import Publication

SCHEDULER, FRONTEND, WORKER = 1, 2, 3


def test_a_follower_gets_each_table_once_the_scheduler_has_seen_it_and_nobody_waits_for_it() -> None:
    sent: list[tuple[int, int]] = []

    def send(peer: int, message: m.Message) -> None:
        assert isinstance(message, m.Table)
        sent.append((peer, message.epoch))

    publication = Publication(send)
    publication.scheduler_began(SCHEDULER)
    publication.publish(m.Table(1, ()))
    publication.follow(WORKER)
    assert sent == [(SCHEDULER, 1)]
    publication.seen(SCHEDULER, 1)
    assert sent[1:] == [(WORKER, 1)]
    assert publication.is_everywhere
    publication.follow(WORKER)
    assert sent[2:] == [(WORKER, 1)]
    publication.gone(WORKER)
    publication.publish(m.Table(2, ()))
    publication.seen(SCHEDULER, 2)
    assert sent[3:] == [(SCHEDULER, 2)]
