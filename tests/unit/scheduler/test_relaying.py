"""A scheduler in front of another one: responses pass through it, in the order of their requests where that is asked for."""

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.messages import Failure, Infer, Reply
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec, QueuePolicySpec, SequenceBatcherSpec
from tis.errors import Code
from tis.scheduler.decisions import Answer, Ask, Decision, Withdraw
from tis.scheduler.kinds import Around, scheduler_of
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest, Refusal
from tis.scheduler.ready import ReadyVersions
from tis.scheduler.relaying import Ordered, Relaying

OWN, FRONTEND, WORKER = 1, 2, 3
SPEC = ModelSpec("m", 1, "", "onnxruntime", 8, (), ())


def request(number: int) -> QueuedRequest:
    return QueuedRequest(Infer(number, FRONTEND, "m", 1, 1, b"", 0, msgspec.Raw(b"\xc0")), 0)


def passed_on(decisions: Iterable[Decision]) -> Infer:
    [ask] = decisions
    assert isinstance(ask, Ask)
    return ask.infer


def answered(decisions: Iterable[Decision]) -> list[tuple[int, bool]]:
    """Numbers of the requests that are answered, each with whether that is the last time."""
    found = []
    for each in decisions:
        assert isinstance(each, Answer)
        assert each.message.request_id == each.request.infer.request_id
        found.append((each.message.request_id, each.message.final))
    return found


def reply(infer: Infer, *, final: bool = True) -> Reply:
    return Reply(infer.request_id, (), (), {}, final)


def ordered() -> Ordered:
    scheduler = Ordered(ModelScheduler(SPEC), OWN)
    scheduler.instance_up(WORKER, 0)
    return scheduler


def test_a_request_runs_as_the_schedulers_own_and_is_answered_under_its_askers_number() -> None:
    scheduler = Relaying(ModelScheduler(SPEC), OWN)
    own = passed_on(scheduler.add(request(7), 0))
    assert (own.asker, own.model, own.version) == (OWN, "m", 1)
    assert scheduler.queued == 0
    assert list(scheduler.add(QueuedRequest(own, 0), 0)) == []
    assert scheduler.queued == 1
    assert answered(scheduler.answered(reply(own), 0)) == [(7, True)]


def test_responses_leave_in_the_order_of_their_requests() -> None:
    scheduler = ordered()
    first, second, third = [passed_on(scheduler.add(request(number), 0)) for number in (1, 2, 3)]
    assert answered(scheduler.answered(reply(third), 0)) == []
    assert answered(scheduler.answered(reply(first), 0)) == [(1, True)]
    assert answered(scheduler.answered(Failure(second.request_id, "INTERNAL", "no"), 0)) == [(2, True), (3, True)]


def test_the_first_in_line_gets_its_responses_as_they_come_and_the_others_wait_for_its_last() -> None:
    scheduler = ordered()
    first, second = [passed_on(scheduler.add(request(number), 0)) for number in (1, 2)]
    assert answered(scheduler.answered(reply(second, final=False), 0)) == []
    assert answered(scheduler.answered(reply(first, final=False), 0)) == [(1, False)]
    assert answered(scheduler.answered(reply(first), 0)) == [(1, True), (2, False)]
    assert answered(scheduler.answered(reply(second), 0)) == [(2, True)]


def test_cancelling_withdraws_what_was_passed_on_and_the_answer_still_comes() -> None:
    scheduler = ordered()
    asked = request(1)
    own = passed_on(scheduler.add(asked, 0))
    inner = QueuedRequest(own, 0)
    list(scheduler.add(inner, 0))
    assert list(scheduler.cancel(asked, 0)) == [Withdraw(own.request_id)]
    [refusal] = scheduler.cancel(inner, 0)
    assert isinstance(refusal, Refusal)
    assert refusal.error.code is Code.CANCELLED
    assert answered(scheduler.answered(Failure(own.request_id, "CANCELLED", ""), 0)) == [(1, True)]
    assert list(scheduler.cancel(asked, 0)) == []


@given(st.permutations(range(8)))
def test_whatever_the_order_of_answers_requests_are_answered_in_theirs(order: list[int]) -> None:
    scheduler = ordered()
    own = [passed_on(scheduler.add(request(number), 0)) for number in range(8)]
    found: list[tuple[int, bool]] = []
    for number in order:
        found += answered(scheduler.answered(reply(own[number]), 0))
    assert found == [(number, True) for number in range(8)]


def test_the_kind_of_scheduler_follows_the_specification() -> None:
    batching = DynamicBatcherSpec(preserve_ordering=True, default_policy=QueuePolicySpec(max_queue_size=1))
    oldest = SequenceBatcherSpec(oldest=True, preserve_ordering=True)
    for spec, kind in (
        (SPEC, ModelScheduler),
        (msgspec.structs.replace(SPEC, batcher=batching), Ordered),
        (msgspec.structs.replace(SPEC, sequences=oldest), Ordered),
    ):
        assert type(scheduler_of(spec, None, Around(OWN, ReadyVersions().find))) is kind
