"""A model's own requests without a server: who is asked, what errors are called, what is held of the pool."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError
from tis_shm.pool import GRANULE_BYTES, Block, Pool
from tis_shm.slab import Grant, Slab
from tis_workers.bls.call import Ask, Call, Outcome, as_error, checked
from tis_workers.bls.ready_models import ReadyModels
from tis_workers.bls.results import Results


def spec(version: int, name: str = "m", *, load: int = 1) -> ModelSpec:
    return ModelSpec(name, version, "", "python", 0, (), (), load=load)


def table(epoch: int, *ready: ModelSpec, unready: tuple[ModelSpec, ...] = ()) -> m.Table:
    return m.Table(epoch, tuple(m.TableEntry(each, each not in unready) for each in (*ready, *unready)))


def test_the_newest_version_that_is_ready_is_asked_unless_one_is_named() -> None:
    models = ReadyModels()
    models.replace(table(2, spec(1), spec(3), unready=(spec(7),)))
    assert models.find("m") == spec(3)
    assert models.find("m", 1) == spec(1)
    for version in (0, 2, 7, -5):
        assert models.find("m", version) is None
    assert models.find("other") is None


def test_where_repositories_are_namespaces_the_own_model_is_meant_or_else_the_only_one() -> None:
    own, other, only = (
        ModelSpec(name, 1, "", "python", 0, (), (), namespace=at)
        for name, at in (("m", "/x"), ("m", "/y"), ("n", "/y"))
    )
    names = {"m": ("/x::m", "/y::m"), "n": ("/y::n",)}
    entries = tuple(m.TableEntry(each, True) for each in (own, other, only))
    for namespace, found in (("/x", own), ("/y", other), ("/z", None)):
        models = ReadyModels(namespace)
        models.replace(m.Table(1, entries, names=names))
        assert (models.find("m"), models.find("m", 1), models.find("n", 1)) == (found, found, only)
        assert models.find("/y::m") == other


def test_an_older_table_changes_nothing() -> None:
    models = ReadyModels()
    models.replace(table(2, spec(1, load=2)))
    models.replace(table(1, spec(1, load=1)))
    assert models.find("m") == spec(1, load=2)


def test_a_model_that_is_not_ready_is_refused_in_triton_s_words() -> None:
    with pytest.raises(TisError) as refused:
        checked(Ask("m"), None, decoupled=False)
    assert refused.value.code is Code.INTERNAL
    assert refused.value.message == (
        "Model m - Error when running inference: Failed for execute the inference request. Model 'm' is not ready."
    )


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (m.Failure(1, "NOT_FOUND", "sorry", complete=True), Code.INTERNAL, "sorry"),
        (m.Failure(1, "UNAVAILABLE", "it has died"), Code.UNAVAILABLE, "[request id: mine] it has died"),
        (
            m.Failure(1, "NOT_FOUND", "Request for unknown model: 'm' version 1 is not found"),
            Code.INTERNAL,
            "Model m - Error when running inference: Failed for execute the inference request. Model 'm' is not ready.",
        ),
    ],
)
def test_an_error_has_triton_s_code_but_where_a_process_has_died(failure: m.Failure, code: Code, text: str) -> None:
    error = as_error(Ask("m", client_id="mine"), failure)
    assert (error.code, error.message) == (code, text)


def test_a_call_wakes_its_waiter_once_and_keeps_what_comes_meanwhile() -> None:
    call = Call(Ask("m"), decoupled=True)
    woken: list[int] = []
    call.wake = lambda: woken.append(1)
    call.tell(Outcome(final=False))
    call.tell(Outcome())
    assert woken == [1]
    assert len(call.outcomes) == 2
    assert call.is_over


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool.create(1 << 20)
    yield made
    gc.collect()
    made.close()


def replied(pool: Pool, slab: Slab, *values: float) -> tuple[m.Reply, Block]:
    block = slab.take(4096)
    assert block is not None
    refs = []
    for at, value in enumerate(values):
        slab.writable(block, 64 * at, 8)[:] = np.array([value, value], np.float32).tobytes()
        refs.append(m.OutputRef(f"O{at}", "FP32", (2,), 64 * at, 8))
    return m.Reply(1, (m.BlockRef(*block),), tuple(refs)), block


def is_released(pool: Pool, block: Block) -> bool:
    return pool.released[block.offset // GRANULE_BYTES] == block.generation


def test_a_block_is_given_back_when_its_last_array_goes(pool: Pool) -> None:
    results = Results(pool)
    reply, block = replied(pool, Slab(pool, [Grant(0, 1 << 20)]), 1, 2)
    outputs = results.outputs(reply, copies=False)
    kept = outputs[1][1][1:].reshape(1, 1)
    done: list[int] = []
    results.when_given_back(lambda: done.append(1))
    del outputs
    results.tidy()
    assert kept.tolist() == [[2]]
    assert not is_released(pool, block)
    assert not done
    del kept
    results.tidy()
    assert is_released(pool, block)
    assert done
    assert not len(results)


def test_copies_hold_nothing(pool: Pool) -> None:
    results = Results(pool)
    reply, block = replied(pool, Slab(pool, [Grant(0, 1 << 20)]), 5)
    ((_, array, _),) = results.outputs(reply, copies=True)
    assert is_released(pool, block)
    assert array.tolist() == [5, 5]


def test_an_answer_whose_block_is_gone_is_an_error(pool: Pool) -> None:
    slab = Slab(pool, [Grant(0, 1 << 20)])
    reply, block = replied(pool, slab, 1)
    slab.free(block)
    with pytest.raises(TisError, match="the answer is lost"):
        Results(pool).outputs(reply, copies=False)
