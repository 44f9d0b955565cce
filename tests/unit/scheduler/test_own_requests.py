"""Responses to the scheduler's own requests reach their askers one after the other."""

from collections.abc import Iterable

from tis.contracts import messages as m
from tis.scheduler.decisions import Decision
from tis.scheduler.own_requests import OwnRequests


class Asker:
    """Somebody who has asked."""

    def answered(self, message: m.Reply | m.Failure, now_ns: int) -> Iterable[Decision]:  # noqa: ARG002
        return ()


def failure(request_id: int, *, final: bool = True) -> m.Failure:
    return m.Failure(request_id, "INTERNAL", "", final=final)


def test_a_response_goes_to_its_asker_until_the_last_one() -> None:
    own, asker = OwnRequests(), Asker()
    own.add(1, asker)
    assert list(own.responses(failure(1, final=False))) == [(asker, failure(1, final=False))]
    assert list(own.responses(failure(1))) == [(asker, failure(1))]
    assert list(own.responses(failure(1))) == [(None, failure(1))]


def test_a_thousand_responses_that_bring_each_other_about_do_not_stand_on_each_others_stack() -> None:
    own, told = OwnRequests(), []

    def tell(request_id: int) -> None:
        for _, message in own.responses(failure(request_id)):
            told.append(message.request_id)
            if message.request_id < 5000:
                tell(message.request_id + 1)

    tell(1)
    assert told == list(range(1, 5001))
