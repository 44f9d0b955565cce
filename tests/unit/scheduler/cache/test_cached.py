"""A model whose answers are cached: hits are answered at once, misses run and are kept, errors are not."""

from collections.abc import Iterable
from itertools import count

import msgspec
import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec
from tis.errors import Code
from tis.scheduler.cache.cached import Cached
from tis.scheduler.cache.caching import Caching
from tis.scheduler.cache.interface import LATER, Entry, Later, Token
from tis.scheduler.cache.lending import Lender
from tis.scheduler.cache.local import LocalCache
from tis.scheduler.decisions import Answer, Ask, Decision, Run, Withdraw
from tis.scheduler.kinds import Around, scheduler_of
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest, Refusal
from tis.scheduler.ready import ReadyVersions
from tis.scheduler.relaying import Ordered
from tis_shm.pool import Block, Pool
from tis_shm.slab import Grant, Slab

OWN, FRONTEND, WORKER = 1, 2, 3
MIB = 1 << 20
SPEC = ModelSpec("m", 1, "", "onnxruntime", 8, (), (), response_cache=True)


class SlowCache(LocalCache):
    """A cache whose lookups end when the test says so."""

    fd = 99

    def __init__(self) -> None:
        super().__init__(MIB)
        self.asked: list[tuple[Token, bytes]] = []

    def look_up(self, key: bytes, token: Token) -> Later:  # type: ignore[override]
        self.asked.append((token, key))
        return LATER

    def completed(self) -> list[tuple[Token, Entry | None]]:
        asked, self.asked = self.asked, []
        return [(token, super(SlowCache, self).look_up(key, token)) for token, key in asked]


def around(caching: Caching | None) -> Around:
    return Around(OWN, ReadyVersions().find, caching=caching)


class Bench:
    """A cached model, a pool, and the worker's and the frontend's part in it."""

    def __init__(self, pool: Pool, cache: LocalCache | None = None, spec: ModelSpec = SPEC) -> None:
        self.pool = pool
        self.wishes: list[m.GrantRequest] = []
        self.cache = LocalCache(MIB) if cache is None else cache
        self.lender = Lender(pool, ((0, MIB),), OWN, self.wishes.append)
        clock = count(1000, 1000)
        self.caching = Caching(self.cache, self.lender, pool, lambda: next(clock))
        self.scheduler = scheduler_of(spec, None, around(self.caching))
        self.scheduler.instance_up(WORKER, 0)
        self.worker = Slab(pool, [Grant(MIB, MIB)])

    def request(self, number: int, key: bytes = b"k", asker: int = FRONTEND) -> QueuedRequest:
        return QueuedRequest(
            m.Infer(number, asker, "m", 1, 1, b"", 0, msgspec.Raw(b"\xc0"), cache_key=key), enqueued_ns=0
        )

    def ask(self, number: int, key: bytes = b"k") -> list[Decision]:
        return list(self.scheduler.add(self.request(number, key), 0))

    def written(self, own_id: int, *outputs: bytes) -> m.Reply:
        """A worker's reply, each output in a block of its own."""
        refs, blocks = [], []
        for number, data in enumerate(outputs):
            block = self.worker.take(max(len(data), 1))
            assert block is not None
            self.worker.writable(block, 0, len(data))[:] = data
            blocks.append(m.BlockRef(*block))
            refs.append(m.OutputRef(f"OUT{number}", "UINT8", (len(data),), 0, len(data), 0, number))
        return m.Reply(own_id, tuple(blocks), tuple(refs), {"p": 1})

    def missed(self, number: int, *outputs: bytes, key: bytes = b"k") -> m.Reply:
        """Ask for what is not known, and answer it; gives the reply handed on."""
        reply = self.written(self.passed_on(self.ask(number, key)).request_id, *outputs)
        return answer(self.scheduler.answered(reply, 0))  # type: ignore[attr-defined]

    @staticmethod
    def passed_on(decisions: Iterable[Decision]) -> m.Infer:
        [ask] = decisions
        assert isinstance(ask, Ask)
        assert (ask.infer.asker, ask.infer.cache_key) == (OWN, b"")
        return ask.infer

    def read(self, reply: m.Reply) -> list[bytes]:
        """What the frontend sees of an answer, which it then releases."""
        assert reply.outputs is not None
        blocks = [Block(each.offset, each.generation) for each in reply.blocks]
        found = [
            bytes(self.pool.view(blocks[ref.block], ref.start, ref.size_bytes)) if ref.size_bytes else b""
            for ref in reply.outputs
        ]
        for block in blocks:
            self.pool.release(block)
        return found

    def counts(self) -> tuple[int, int, int, int]:
        """Successes, waits, hits and misses."""
        stats = self.scheduler.statistics.snapshot()
        return stats.success.count, stats.queue.count, stats.cache_hit.count, stats.cache_miss.count


@pytest.fixture
def bench() -> Bench:
    return Bench(Pool.create(2 * MIB))


def answer(decisions: Iterable[Decision]) -> m.Reply:
    [decided] = decisions
    assert isinstance(decided, Answer)
    assert isinstance(decided.message, m.Reply)
    assert decided.message.request_id == decided.request.infer.request_id
    return decided.message


def test_a_miss_runs_as_the_schedulers_own_and_its_answer_is_handed_on_as_it_is(bench: Bench) -> None:
    reply = bench.missed(7, b"abc", b"", b"de")
    assert reply.request_id == 7
    assert bench.read(reply) == [b"abc", b"", b"de"]


def test_a_hit_is_the_same_answer_from_a_block_of_its_own(bench: Bench) -> None:
    first = bench.missed(7, b"abc", b"", b"de" * 100)
    hit = answer(bench.ask(8))
    assert (hit.request_id, hit.final, hit.parameters) == (8, True, {"p": 1})
    assert hit.outputs is not None
    assert first.outputs is not None
    assert [(ref.name, ref.datatype, ref.shape) for ref in hit.outputs] == [
        (ref.name, ref.datatype, ref.shape) for ref in first.outputs
    ]
    assert all(ref.start % 64 == 0 for ref in hit.outputs)
    assert bench.read(hit) == bench.read(first) == [b"abc", b"", b"de" * 100]
    assert bench.caching.used_bytes == 0


def test_an_answer_without_any_bytes_is_cached_too(bench: Bench) -> None:
    bench.missed(7, b"")
    assert bench.read(answer(bench.ask(8))) == [b""]


def test_another_key_is_a_miss(bench: Bench) -> None:
    bench.missed(7, b"abc")
    assert bench.passed_on(bench.ask(8, b"l"))


def test_a_request_that_is_not_to_be_cached_is_queued_as_ever(bench: Bench) -> None:
    assert bench.ask(7, b"") == []
    [run] = bench.scheduler.dispatch(0)
    assert isinstance(run, Run)
    assert bench.counts() == (0, 0, 0, 0)


def test_hits_are_successes_that_waited_for_nothing_and_ran_nowhere(bench: Bench) -> None:
    bench.missed(1, b"abc")
    for number in (2, 3, 4):
        bench.read(answer(bench.ask(number)))
    # The success of the miss itself is counted with its batch, which nobody ran here.
    assert bench.counts() == (3, 3, 3, 1)
    counts = bench.scheduler.metrics(0).cache
    assert counts is not None
    assert (counts.hits, counts.misses) == (3, 1)
    assert counts.hit_us > 0
    assert bench.scheduler.statistics.snapshot().execution_count == 0


def test_an_error_is_not_cached(bench: Bench) -> None:
    own = bench.passed_on(bench.ask(1))
    [failed] = bench.scheduler.answered(m.Failure(own.request_id, "INTERNAL", "no"), 0)  # type: ignore[attr-defined]
    assert isinstance(failed, Answer)
    assert failed.message == m.Failure(1, "INTERNAL", "no")
    assert bench.passed_on(bench.ask(2))


def test_an_answer_in_a_clients_own_memory_is_not_cached(bench: Bench) -> None:
    own = bench.passed_on(bench.ask(1))
    reply = m.Reply(own.request_id, (), (m.OutputRef("OUT0", "UINT8", (3,), 0, 3, 5),))
    assert answer(bench.scheduler.answered(reply, 0)).outputs == reply.outputs  # type: ignore[attr-defined]
    assert bench.passed_on(bench.ask(2))


def test_an_answer_that_its_dead_worker_took_with_it_is_not_cached(bench: Bench) -> None:
    own = bench.passed_on(bench.ask(1))
    reply = bench.written(own.request_id, b"abc")
    bench.worker.free(Block(reply.blocks[0].offset, reply.blocks[0].generation))
    assert answer(bench.scheduler.answered(reply, 0)).request_id == 1  # type: ignore[attr-defined]
    assert bench.passed_on(bench.ask(2))


def test_an_answer_larger_than_the_cache_is_not_copied(bench: Bench) -> None:
    small = Bench(bench.pool, LocalCache(1000))
    small.missed(1, b"x" * 900)
    assert len(small.cache) == 0
    assert small.passed_on(small.ask(2))


def test_where_the_pool_has_no_room_for_a_hit_the_request_runs_and_more_room_is_asked_for_once(bench: Bench) -> None:
    poor = Bench(bench.pool)
    poor.lender = Lender(bench.pool, (), OWN, poor.wishes.append)
    poor.caching = Caching(poor.cache, poor.lender, bench.pool)
    poor.scheduler = Cached(ModelScheduler(SPEC), OWN, poor.caching)
    poor.missed(1, b"abc")
    for number in (2, 3):
        assert poor.passed_on(poor.ask(number))
    assert poor.wishes == [m.GrantRequest(OWN, 4 * MIB)]
    poor.caching.granted(m.GrantReply((0, MIB)))
    assert poor.read(answer(poor.ask(4))) == [b"abc"]


def test_a_block_that_a_slow_client_still_reads_is_not_given_to_another(bench: Bench) -> None:
    bench.missed(1, b"abc")
    bench.missed(2, b"xyz", key=b"l")
    slow, other = answer(bench.ask(3)), answer(bench.ask(4, b"l"))
    assert bench.caching.used_bytes > 0
    assert (bench.read(other), bench.read(slow)) == ([b"xyz"], [b"abc"])
    assert bench.caching.used_bytes == 0


def test_what_a_model_answered_before_it_was_closed_is_forgotten(bench: Bench) -> None:
    bench.missed(1, b"abc")
    assert list(bench.scheduler.close(0)) == []
    assert len(bench.cache) == 0


def test_another_load_of_the_same_model_does_not_see_the_answers_of_the_first(bench: Bench) -> None:
    bench.missed(1, b"abc")
    bench.scheduler = scheduler_of(SPEC, None, around(bench.caching))
    assert bench.passed_on(bench.ask(2))


def test_a_request_that_is_cancelled_is_withdrawn_where_it_runs(bench: Bench) -> None:
    request = bench.request(1)
    own = bench.passed_on(bench.scheduler.add(request, 0))
    assert list(bench.scheduler.cancel(request, 0)) == [Withdraw(own.request_id)]


def test_only_models_that_ask_for_it_are_cached_and_only_where_there_is_a_cache(bench: Bench) -> None:
    assert isinstance(scheduler_of(SPEC, None, around(bench.caching)), Cached)
    assert isinstance(scheduler_of(SPEC, None, around(None)), ModelScheduler)
    plain = msgspec.structs.replace(SPEC, response_cache=False)
    assert isinstance(scheduler_of(plain, None, around(bench.caching)), ModelScheduler)


# ---- lookups that take a while -------------------------------------------------------------------------------------


@pytest.fixture
def slow() -> Bench:
    return Bench(Pool.create(2 * MIB), SlowCache())


def test_while_a_lookup_waits_nothing_is_decided_and_then_it_is_a_miss_or_a_hit(slow: Bench) -> None:
    assert slow.ask(1) == []
    own = slow.passed_on(slow.caching.completed(0))
    slow.read(answer(slow.scheduler.answered(slow.written(own.request_id, b"abc"), 0)))  # type: ignore[attr-defined]
    assert slow.ask(2) == []
    assert slow.read(answer(slow.caching.completed(0))) == [b"abc"]
    assert slow.counts()[2:] == (1, 1)


def test_a_request_that_is_cancelled_while_it_is_looked_up_does_not_run(slow: Bench) -> None:
    request = slow.request(1)
    assert list(slow.scheduler.add(request, 0)) == []
    assert list(slow.scheduler.cancel(request, 0)) == []
    [refusal] = slow.caching.completed(0)
    assert isinstance(refusal, Refusal)
    assert refusal.error.code is Code.CANCELLED


# ---- with preserve_ordering ----------------------------------------------------------------------------------------


def test_a_hit_does_not_overtake_a_miss_where_the_order_is_to_be_kept() -> None:
    spec = msgspec.structs.replace(SPEC, batcher=DynamicBatcherSpec(preserve_ordering=True))
    bench = Bench(Pool.create(2 * MIB), spec=spec)
    scheduler = bench.scheduler
    assert isinstance(scheduler, Ordered)
    askers: dict[int, object] = {}
    answers: list[int] = []

    def carry_out(decisions: Iterable[Decision]) -> None:
        """As the loop does it."""
        for each in decisions:
            if isinstance(each, Ask):
                askers[each.infer.request_id] = each.by
                carry_out(scheduler.add(QueuedRequest(each.infer, 0), 0))
            elif isinstance(each, Answer) and each.request.infer.asker == OWN:
                carry_out(askers.pop(each.message.request_id).answered(each.message, 0))  # type: ignore[attr-defined]
            else:
                assert isinstance(each, Answer)
                answers.append(each.message.request_id)

    def run() -> list[m.Infer]:
        return [
            request.infer for each in scheduler.dispatch(0) if isinstance(each, Run) for request in each.batch.requests
        ]

    carry_out(bench.ask(1, b"known"))
    [own] = run()
    carry_out(askers.pop(own.request_id).answered(bench.written(own.request_id, b"abc"), 0))  # type: ignore[attr-defined]
    assert answers == [1]
    bench.scheduler.instance_up(WORKER + 1, 0)
    carry_out(bench.ask(2, b"unknown"))
    carry_out(bench.ask(3, b"known"))
    assert answers == [1]
    [own] = run()
    carry_out(askers.pop(own.request_id).answered(bench.written(own.request_id, b"xyz"), 0))  # type: ignore[attr-defined]
    assert answers == [1, 2, 3]
