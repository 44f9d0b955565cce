"""Small tensors travel in the messages: no place in the pool is taken, and nothing else differs."""

from dataclasses import replace

import pytest

from tests.unit.frontend.connection import SPEC
from tests.unit.frontend.core_bench import PLAN, STRINGS, Bench
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis.contracts.scheduling_spec import EnsembleSpec
from tis.errors import TisError

ENSEMBLE = ModelSpec("e", 1, "", "", 0, SPEC.inputs, SPEC.outputs, ensemble=EnsembleSpec(()))


def _submit(bench: Bench, data: bytes, plan: Plan = PLAN) -> int:
    place = bench.core.place(SPEC, len(data))
    bench.core.writable(place, 0, len(data))[:] = data
    try:
        return bench.core.submit(plan, "x", place, 123, bench.answers.append)
    except TisError:
        bench.core.discard(place)
        raise


def _body(bench: Bench) -> m.WorkBody:
    bench.turn()
    [infer] = bench.sent()
    assert isinstance(infer, m.Infer)
    return m.decode_body(infer.body)


@pytest.mark.parametrize("size", [0, 1, 16, m.INLINE_BYTES])
def test_a_few_bytes_go_with_the_request_and_take_no_block(bench: Bench, size: int) -> None:
    data = bytes(range(256)) * 8
    _submit(bench, data[:size])
    body = _body(bench)
    assert (body.data, body.blocks, body.takes_data) == (data[:size], (), True)
    assert bench.core.used_bytes == 0


def test_more_bytes_take_a_block(bench: Bench) -> None:
    _submit(bench, bytes(m.INLINE_BYTES + 1))
    body = _body(bench)
    assert (body.data, len(body.blocks)) == (b"", 1)
    assert bench.core.used_bytes > 0


@pytest.mark.parametrize("max_batch_size", [0, 1, 16, 61, 128, 512, 100_000])
def test_requests_that_bring_their_data_do_not_make_batches_smaller(bench: Bench, max_batch_size: int) -> None:
    spec = ModelSpec("m", 1, "", "python", max_batch_size, SPEC.inputs, SPEC.outputs)
    size = m.inline_bytes(max_batch_size)
    assert isinstance(bench.core.place(spec, size), bytearray)
    assert not isinstance(bench.core.place(spec, size + 1), bytearray)
    body = m.encode_body(m.WorkBody("", (), (m.TensorRef(0, (1, size), 0, size),), None, data=bytes(size)))
    requests = min(max(max_batch_size, 1), m.MOST_REQUESTS)
    assert requests * len(memoryview(body)) <= m.MOST_BATCH_BODY_BYTES
    assert size >= 64, "the smallest always do"


def test_the_scheduler_finds_the_data_of_an_ensembles_steps_in_a_block(bench: Bench) -> None:
    place = bench.core.place(ENSEMBLE, 16)
    assert not isinstance(place, bytearray)
    bench.core.discard(place)
    assert bench.core.used_bytes == 0


def test_a_place_that_is_not_submitted_leaves_nothing(bench: Bench) -> None:
    bench.core.discard(bench.core.place(SPEC, 16))
    assert bench.core.used_bytes == 0


def test_an_answer_with_its_data_in_it_is_read_from_there(bench: Bench) -> None:
    number = _submit(bench, bytes(16))
    refs = (m.OutputRef("Y", "INT8", (4,), 0, 4), m.OutputRef("Z", "INT8", (2,), 64, 2))
    bench.receive(m.Reply(number, (), refs, data=b"abcd".ljust(64, b"\0") + b"ef"))
    [answer] = bench.answers
    assert [bytes(each.data) for each in answer.outputs] == [b"abcd", b"ef"]
    bench.core.release(answer)
    assert bench.core.pending == bench.core.used_bytes == 0


def test_strings_are_counted_wherever_they_lie(bench: Bench) -> None:
    with pytest.raises(TisError, match="expected 2 string elements"):
        _submit(bench, b"\1\0\0\0a", replace(STRINGS, strings=(replace(STRINGS.strings[0], size_bytes=5),)))


def test_where_answers_are_kept_for_others_they_lie_in_blocks(bench: Bench) -> None:
    bench.core.caches = True
    _submit(bench, bytes(16), replace(PLAN, cache_head=b"head", cache_inputs=PLAN.inputs))
    assert not _body(bench).takes_data


def test_the_same_data_have_the_same_cache_key_wherever_they_lie(bench: Bench) -> None:
    bench.core.caches = True
    plan = replace(PLAN, cache_head=b"head", cache_inputs=PLAN.inputs)
    _submit(bench, bytes(range(16)), plan)
    bench.submit(bytes(range(16)), plan)
    bench.turn()
    first, second = bench.sent()
    assert isinstance(first, m.Infer)
    assert isinstance(second, m.Infer)
    assert first.cache_key == second.cache_key != b""


def test_everything_in_flight_can_fail_without_a_block(bench: Bench) -> None:
    _submit(bench, bytes(16))
    bench.core.fail_all(TisError("UNAVAILABLE", "gone"))  # type: ignore[arg-type]
    assert len(bench.answers) == 1
    assert bench.core.pending == bench.core.used_bytes == 0
