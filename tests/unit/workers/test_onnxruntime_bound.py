"""Large answers of ONNX models are computed where they are read, and are right and released whatever the model does."""

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.harness.models import Model, Tensor, add_sub, doubled, nonzero
from tests.harness.shared_memory import SharedObjects, shared_objects
from tests.unit.workers.onnx_bench import ASKER, Answer, Array, Bench
from tis.contracts import messages as m
from tis_shm.region import identity_of, open_object

__all__ = ["shared_objects"]

NewBench = Callable[..., Bench]


@pytest.fixture
def new_bench(tmp_path: Path) -> Iterator[NewBench]:
    made: list[Bench] = []

    def make(model: Model, **more: Any) -> Bench:
        made.append(Bench(tmp_path / str(len(made)), model, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def rows(count: int, width: int, start: int = 0) -> Array:
    return (np.arange(count * width, dtype=np.float32) + start).reshape(count, width)


def check_doubled(answers: list[Answer], sent: list[Array]) -> None:
    for answer, array in zip(answers, sent, strict=True):
        assert np.array_equal(answer.array("OUTPUT0"), np.concatenate([array, array], axis=1))
        answer.release()


@pytest.mark.parametrize("width", [8192, 10_000, 8191, 257])
def test_every_request_of_a_batch_reads_its_own_rows_of_one_range(new_bench: NewBench, width: int) -> None:
    bench = new_bench(doubled())
    for turn in range(3):
        sent = [rows(count, width, 1000 * turn + at) for at, count in enumerate((1, 3, 2, 40))]
        answers = bench.ask(*[{"INPUT0": array} for array in sent])
        places = [answer.blocks[0].offset + answer.refs[0].start for answer in answers]
        if turn:
            apart = [array.nbytes * 2 for array in sent[:-1]]
            assert [after - before for before, after in pairwise(places)] == apart
        check_doubled(answers, sent)
    assert bench.common == 1


def test_a_request_alone_and_batches_of_any_size_know_each_others_shapes(new_bench: NewBench) -> None:
    bench = new_bench(doubled())
    for counts in ((3,), (1, 1), (2,), (5, 6, 7)):
        sent = [rows(count, 16384, at) for at, count in enumerate(counts)]
        check_doubled(bench.ask(*[{"INPUT0": array} for array in sent]), sent)
    assert bench.common == 1


def test_the_range_is_free_when_the_last_of_its_readers_is_done_or_dead(new_bench: NewBench) -> None:
    bench = new_bench(doubled())
    for _ in range(2):
        answers = bench.ask(*[{"INPUT0": rows(1, 16384)}] * 3)
        answers[0].release()
        bench.writer.collect()
        assert bench.writer.used_bytes
        assert np.array_equal(answers[2].array("OUTPUT0")[:, :16384], rows(1, 16384))
        bench.writer.forget(ASKER)
        assert not bench.writer.used_bytes


def test_a_small_output_beside_a_large_one_is_copied(new_bench: NewBench) -> None:
    model = Model(
        (Tensor("X", "FP32", ("b", 20_000)),),
        (Tensor("S", "FP32", ("b", 1)), Tensor("Y", "FP32", ("b", 20_000))),
        (helper.make_node("ReduceMax", ["X"], ["S"], axes=[1]), helper.make_node("Neg", ["X"], ["Y"])),
    )
    bench = new_bench(model)
    for _ in range(3):
        sent = [rows(count, 20_000, at * 7) for at, count in enumerate((2, 1, 1))]
        for answer, array in zip(bench.ask(*[{"X": array} for array in sent]), sent, strict=True):
            assert answer.names == ["S", "Y"]
            assert np.array_equal(answer.array("S"), array.max(axis=1, keepdims=True))
            assert np.array_equal(answer.array("Y"), -array)
            answer.release()
    assert bench.common == 1


def test_each_request_gets_what_it_wants_and_the_rest_is_free_at_once(new_bench: NewBench) -> None:
    bench = new_bench(add_sub(("b", 20_000), "FP32"))
    left, right = rows(1, 20_000), rows(1, 20_000, 3)
    inputs = {"INPUT0": left, "INPUT1": right}
    for _ in range(3):
        sum_only, both, difference_only = bench.run(
            bench.request(1, inputs, (0,)), bench.request(2, inputs), bench.request(3, inputs, (1,))
        )
        assert (sum_only.names, both.names, difference_only.names) == (["OUTPUT0"], ["OUTPUT0", "OUTPUT1"], ["OUTPUT1"])
        assert np.array_equal(sum_only.array("OUTPUT0"), left + right)
        assert np.array_equal(both.array("OUTPUT1"), left - right)
        assert np.array_equal(difference_only.array("OUTPUT1"), left - right)
        for answer in (sum_only, both, difference_only):
            answer.release()
    assert bench.common == 1


def test_an_output_for_a_clients_region_is_written_there_and_the_others_share_the_range(
    new_bench: NewBench, shared_objects: SharedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getppid", os.getpid)
    bench = new_bench(doubled())
    made = shared_objects.make(bytes(300_000))
    fd = open_object(made.key)
    region = m.Region(1, "r", "system", made.key, 0, 300_000, fd=fd, identity=identity_of(fd))
    bench.regions.replace(m.Regions(1, (region,)))
    for turn in range(3):
        sent = [rows(1, 16384, 10 * turn + at) for at in range(3)]
        fits, too_small = m.OutputPlacement(0, 1, 64, 131072), m.OutputPlacement(0, 1, 200_000, 100)
        placed, refused, plain = bench.run(
            bench.request(1, {"INPUT0": sent[0]}, None, (fits,)),
            bench.request(2, {"INPUT0": sent[1]}, None, (too_small,)),
            bench.request(3, {"INPUT0": sent[2]}),
        )
        assert not placed.blocks
        assert made.read(64, 131072) == np.tile(sent[0], 2).tobytes()
        assert "should be at least 131072 bytes" in refused.error
        check_doubled([plain], [sent[2]])
    os.close(fd)
    bench.regions.close()
    assert bench.common == 1


def test_an_input_that_is_also_an_output_comes_back_as_it_is(new_bench: NewBench) -> None:
    model = Model(
        (Tensor("X", "FP32", ("b", 20_000)),),
        (Tensor("X", "FP32", ("b", 20_000)), Tensor("Y", "FP32", ("b", 20_000))),
        (helper.make_node("Neg", ["X"], ["Y"]),),
    )
    bench = new_bench(model)
    for _ in range(3):
        for count in (1, 2):
            sent = [rows(1, 20_000, at + 1) for at in range(count)]
            for answer, array in zip(bench.ask(*[{"X": array} for array in sent]), sent, strict=True):
                assert np.array_equal(answer.array("X"), array)
                assert np.array_equal(answer.array("Y"), -array)
                answer.release()


def test_outputs_whose_shape_depends_on_the_data_are_right_and_not_foreseen_a_second_time(new_bench: NewBench) -> None:
    bench = new_bench(nonzero(), max_batch_size=0)
    for count in (20_000, 20_000, 10_000, 30, 20_000, 20_000):
        array = np.zeros(20_000, np.float32)
        array[:count] = 1
        (answer,) = bench.ask({"INPUT0": array})
        assert answer.array("OUTPUT0").tolist() == [list(range(count))]
        answer.release()
    assert bench.common == 5


def test_one_bad_request_fails_alone_and_later_answers_are_computed_in_place(new_bench: NewBench) -> None:
    model = Model(
        (Tensor("INDEX", "INT64", ("b", 1)),),
        (Tensor("OUTPUT0", "FP32", ("b", 1, 20_000)),),
        (helper.make_node("Gather", ["table", "INDEX"], ["OUTPUT0"]),),
        (numpy_helper.from_array(rows(10, 20_000), "table"),),
    )
    bench = new_bench(model)
    good, bad = {"INDEX": np.array([[3]])}, {"INDEX": np.array([[11]])}
    for answer in bench.ask(good):
        answer.release()
    answers = bench.ask(good, bad, good)
    assert "indices element out of data bounds" in answers[1].error
    for answer in answers[::2]:
        assert np.array_equal(answer.array("OUTPUT0"), rows(10, 20_000)[3:4][None])
        answer.release()
    common = bench.common
    for answer in bench.ask(good, good):
        assert np.array_equal(answer.array("OUTPUT0"), rows(10, 20_000)[3:4][None])
        answer.release()
    assert bench.common == common


def test_large_answers_to_strings_take_the_common_way(new_bench: NewBench) -> None:
    model = Model(
        (Tensor("S", "BYTES", (1,)), Tensor("X", "FP32", (20_000,))),
        (Tensor("Y", "FP32", (20_000,)), Tensor("Z", "BYTES", (1,))),
        (helper.make_node("Identity", ["S"], ["Z"]), helper.make_node("Neg", ["X"], ["Y"])),
    )
    bench = new_bench(model, max_batch_size=0)
    text = np.array([b"hi"], np.object_)
    array = rows(1, 20_000)[0]
    for _ in range(3):
        (answer,) = bench.run(bench.request(1, {"S": text, "X": array}, (0,)))
        assert np.array_equal(answer.array("Y"), -array)
        answer.release()


def test_without_room_in_one_piece_answers_lie_apart(new_bench: NewBench) -> None:
    bench = new_bench(doubled(), pool_bytes=1 << 20)
    # Four rows of 128 KiB share a range of half a MiB. Held one by one, they leave no such range free.
    sent = [rows(1, 16384, at) for at in range(4)]
    held = []
    for at in range(2):
        held += bench.ask({"INPUT0": sent[at]})
    answers = bench.ask(*[{"INPUT0": array} for array in sent])
    more = bench.ask({"INPUT0": sent[2]}, {"INPUT0": sent[3]})
    check_doubled(answers, sent)
    check_doubled(more + held, [sent[2], sent[3], *sent[:2]])


def test_a_slow_reader_of_one_answer_leaves_room_for_the_next_batches(new_bench: NewBench) -> None:
    bench = new_bench(doubled(), pool_bytes=1 << 20)
    sent = [rows(1, 16384, at) for at in range(6)]
    slow, kept = [], []
    for _ in range(4):
        answers = bench.ask(*[{"INPUT0": array} for array in sent[:4]])
        slow.append(answers[1])
        kept.append(sent[1])
        check_doubled([answers[0], *answers[2:]], [sent[0], *sent[2:4]])
    check_doubled(slow, kept)


def test_booleans_and_halves_are_written_in_place(new_bench: NewBench) -> None:
    model = Model(
        (Tensor("X", "FP32", ("b", 70_001)),),
        (Tensor("B", "BOOL", ("b", 70_001)), Tensor("H", "FP16", ("b", 70_001))),
        (
            helper.make_node("Greater", ["X", "limit"], ["B"]),
            helper.make_node("Cast", ["X"], ["H"], to=TensorProto.FLOAT16),
        ),
        (numpy_helper.from_array(np.array(10, np.float32), "limit"),),
    )
    bench = new_bench(model)
    for _ in range(2):
        sent = [rows(1, 70_001) % 100, rows(2, 70_001) % 77]
        for answer, array in zip(bench.ask(*[{"X": array} for array in sent]), sent, strict=True):
            assert np.array_equal(answer.array("B"), array > 10)
            assert np.array_equal(answer.array("H"), array.astype(np.float16))
            answer.release()
    assert bench.common == 1
