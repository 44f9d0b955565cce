"""Samples of a model's warm-up: their data, what is refused in Triton's words, and what an instance is given to run."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.recorded import NO_POOL
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import WarmupInputSpec, WarmupSpec
from tis.errors import Code, TisError, internal, not_found
from tis_workers.backends.base import Backend, Timings
from tis_workers.request import WorkRequest
from tis_workers.warmup import make_sample, warm_up

NO_ID = "[request id: <id_unknown>] "


def spec_of(*tensors: TensorSpec, max_batch_size: int = 8, path: Path | str = "", **more: Any) -> ModelSpec:
    outputs = (TensorSpec("Y", "FP32", (4,)),)
    return ModelSpec("m", 1, "", "b", max_batch_size, tensors, outputs, model_path=str(path), **more)


def warmup(*inputs: WarmupInputSpec, batch_size: int = 1, count: int = 1) -> WarmupSpec:
    return WarmupSpec("s", batch_size, inputs, count)


def given(datatype: str, source: str, *shape: int, filename: str = "", name: str = "X") -> WarmupInputSpec:
    return WarmupInputSpec(name, datatype, shape, source, filename)


def refusal(spec: ModelSpec, *inputs: WarmupInputSpec) -> tuple[Code, str]:
    with pytest.raises(TisError) as caught:
        make_sample(spec, warmup(*inputs))
    return caught.value.code, caught.value.message


X = TensorSpec("X", "FP32", (4,))
STRINGS = TensorSpec("X", "BYTES", (-1,))


# ---- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT64", "UINT64", "FP16", "FP32", "FP64", "BF16"])
@pytest.mark.parametrize("source", ["zero", "random"])
def test_an_input_has_its_datatype_and_one_item(datatype: str, source: str) -> None:
    sample = make_sample(spec_of(TensorSpec("X", datatype, (-1, 3))), warmup(given(datatype, source, 50, 3)))
    array = sample.inputs["X"]
    assert array.shape == (1, 50, 3)
    assert np.any(array) == (source == "random")
    if array.dtype.kind == "f":
        assert np.all(np.isfinite(array))
    if datatype == "BOOL":
        assert set(array.ravel().view(np.uint8).tolist()) <= {0, 1}


@pytest.mark.parametrize("source", ["zero", "random"])
def test_strings_are_empty(source: str) -> None:
    sample = make_sample(spec_of(STRINGS), warmup(given("BYTES", source, 3)))
    assert sample.inputs["X"].tolist() == [[b"", b"", b""]]


def test_a_file_gives_the_data_and_may_be_longer(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    sample = make_sample(spec_of(X, path=tmp_path), warmup(given("FP32", "file", 4, filename="f")))
    assert sample.inputs["X"].tolist() == [[0, 1, 2, 3]]
    (tmp_path / "warmup" / "g").write_bytes(b"\2\0\0\0ab\1\0\0\0c")
    sample = make_sample(spec_of(STRINGS, path=tmp_path), warmup(given("BYTES", "file", 2, filename="g")))
    assert sample.inputs["X"].tolist() == [[b"ab", b"c"]]


def test_an_input_comes_in_the_shape_that_the_backend_sees() -> None:
    reshaped = TensorSpec("X", "FP32", (4,), reshape=(2, 2))
    assert make_sample(spec_of(reshaped), warmup(given("FP32", "zero", 4))).inputs["X"].shape == (1, 2, 2)
    assert make_sample(spec_of(reshaped, max_batch_size=0), warmup(given("FP32", "zero", 4))).inputs["X"].shape == (
        2,
        2,
    )


def test_what_is_no_input_of_the_config_goes_to_the_model_beside_the_others() -> None:
    inputs = given("FP32", "zero", 4), given("INT32", "zero", 1, name="START")
    sample = make_sample(spec_of(X), warmup(*inputs))
    assert {name: array.shape for name, array in sample.inputs.items()} == {"X": (1, 4), "START": (1, 1)}


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_a_sample_that_does_not_fit_is_refused_in_tritons_words(tmp_path: Path) -> None:
    spec, two = spec_of(X), spec_of(X, TensorSpec("Z", "FP32", (4,)))
    invalid = Code.INVALID_ARG
    unsized = "warmup setting expects all variable-size dimensions are specified for input 'X'"
    assert refusal(spec_of(TensorSpec("X", "FP32", (-1,))), given("FP32", "zero", -1)) == (invalid, unsized)
    assert refusal(spec, given("FP32", "", 4)) == (
        invalid,
        f"{NO_ID}warmup setting expects input 'X' to have input_data_type set",
    )
    assert refusal(spec, given("<invalid>", "zero", 4)) == (
        invalid,
        f"{NO_ID}inference input 'X' data-type is '<invalid>', but model 'm' expects 'FP32'",
    )
    assert refusal(spec, given("FP32", "zero", 5))[1].startswith(
        f"{NO_ID}unexpected shape for input 'X' for model 'm'. Expected [-1,4], got [1,5]. NOTE: "
    )
    assert refusal(two, given("FP32", "zero", 4))[1] == (
        f"{NO_ID}expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['X'], but missing required input(s) "
        "['Z']. Please provide all required input(s)."
    )
    assert refusal(spec, given("FP32", "zero", 4), given("<invalid>", "zero", 1, name="START"))[0] is invalid


def test_a_file_that_is_too_short_missing_or_elsewhere_is_refused(tmp_path: Path) -> None:
    spec = spec_of(X, path=tmp_path)
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "f").write_bytes(bytes(8))
    assert refusal(spec, given("FP32", "file", 4, filename="f")) == (
        Code.INVALID_ARG,
        f"{NO_ID}warmup setting expects 16 bytes, but the data provided from f only has 8 bytes",
    )
    for name in ("missing", "."):
        code, text = refusal(spec, given("FP32", "file", 4, filename=name))
        assert code is Code.INTERNAL
        assert text.startswith(f"failed to open text file for read {tmp_path}/warmup")
    (tmp_path / "outside").write_bytes(bytes(16))
    (tmp_path / "warmup" / "link").symlink_to(tmp_path / "outside")
    for name in ("../outside", "link", str(tmp_path / "outside")):
        assert "lies outside of the directory 'warmup'" in refusal(spec, given("FP32", "file", 4, filename=name))[1]
    strings = spec_of(STRINGS, path=tmp_path)
    (tmp_path / "warmup" / "g").write_bytes(b"\2\0\0\0ab")
    assert refusal(strings, given("BYTES", "file", 2, filename="g")) == (
        Code.INVALID_ARG,
        f"{NO_ID}expected 2 string elements for inference input 'X' for model 'm', got 1",
    )


# ---- execution -----------------------------------------------------------------------------------------------------


class Answering(Backend):
    """Answers as it is told to, and keeps what it was given."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer or (lambda request: request.respond({"Y": np.zeros((1, 4), np.float32)}))
        self.given: list[list[WorkRequest]] = []

    def execute(self, requests: list[WorkRequest]) -> Timings:
        self.given.append(requests)
        now_ns = time.monotonic_ns()
        for request in requests:
            self.answer(request)
        return Timings(now_ns, now_ns, time.monotonic_ns())


def failure(answer: Any, *, batch_size: int = 2, max_batch_size: int = 8) -> tuple[Code, str]:
    spec = spec_of(X, max_batch_size=max_batch_size, warmups=(warmup(given("FP32", "zero", 4), batch_size=batch_size),))
    with pytest.raises(TisError) as caught:
        warm_up(Answering(answer), spec, "m_0", NO_POOL)
    return caught.value.code, caught.value.message


def test_each_sample_is_so_many_executions_of_so_many_requests() -> None:
    backend = Answering()
    sample = given("FP32", "random", 4)
    spec = spec_of(X, warmups=(warmup(sample, batch_size=3, count=2), warmup(sample)))
    done = warm_up(backend, spec, "m_0", NO_POOL)
    assert [len(requests) for requests in backend.given] == [3, 3, 1]
    assert [each.items for each in done] == [3, 3, 1]
    for requests, each in zip(backend.given, done, strict=True):
        assert [request.inputs["X"].shape for request in requests] == [(1, 4)] * each.items
        assert {(request.batch_size, request.client_id, len(request.wanted)) for request in requests} == {(1, "", 1)}
        assert each.start_ns <= each.input_end_ns <= each.infer_end_ns <= each.end_ns


def test_a_model_without_samples_runs_nothing() -> None:
    backend = Answering()
    assert warm_up(backend, spec_of(X), "m_0", NO_POOL) == ()
    assert not backend.given


def test_several_responses_and_none_are_as_good_as_one() -> None:
    def several(request: WorkRequest) -> None:
        request.respond({}, final=False)
        request.end()

    spec = spec_of(X, warmups=(warmup(given("FP32", "zero", 4)),), decoupled=True)
    for answer in (several, lambda request: request.end()):
        assert len(warm_up(Answering(answer), spec, "m_0", NO_POOL)) == 1


class Threads:
    """The channel of a model whose own threads answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: Any = None

    def serve(self, loop: Any) -> None:
        self.loop = loop

    def answer(self, request: WorkRequest) -> None:
        """In two steps, as a thread does."""
        with self.lock:
            request.respond({}, final=False)
            self.loop.sent(request)
        with self.lock:
            request.end()
            self.loop.sent(request)


def test_answers_that_come_after_the_execution_are_waited_for() -> None:
    channel = Threads()
    running: list[threading.Thread] = []

    def later(request: WorkRequest) -> None:
        assert channel.lock.locked(), "a backend executes with the lock held"
        request.unfinished = True
        running.append(threading.Thread(target=channel.answer, args=(request,)))
        running[-1].start()

    spec = spec_of(X, warmups=(warmup(given("FP32", "zero", 4), batch_size=3, count=2),), decoupled=True)
    backend = Answering(later)
    assert [each.items for each in warm_up(backend, spec, "m_0", NO_POOL, channel)] == [3, 3]
    assert all(request.answered for requests in backend.given for request in requests)
    for thread in running:
        thread.join()
    assert not channel.lock.locked()


def test_errors_fail_the_load_with_their_texts() -> None:
    start = "failed to run warmup sample 's': "
    assert failure(lambda request: request.fail(not_found("bad"))) == (Code.INVALID_ARG, f"{start}bad; bad; ")

    def raises(_request: WorkRequest) -> None:
        raise internal("no luck")

    def breaks(_request: WorkRequest) -> None:
        raise RuntimeError("no luck")

    def ends_badly(request: WorkRequest) -> None:
        request.fail(not_found("middle"), final=False)
        request.end()

    assert failure(raises)[1] == f"{start}no luck; "
    assert failure(breaks)[1] == f"{start}RuntimeError: no luck; "
    assert failure(ends_badly, batch_size=1)[1] == f"{start}middle; "
    assert failure(lambda _request: None, batch_size=1)[1] == f"{start}model 'm' gave no response; "


def test_a_sample_larger_than_a_batch_fails_as_in_triton() -> None:
    for batch_size, max_batch_size in ((9, 8), (2, 0)):
        text = f"batch size {batch_size} for 'm_0', max allowed is {max_batch_size}; "
        expected = f"failed to run warmup sample 's': {text * batch_size}"
        assert failure(None, batch_size=batch_size, max_batch_size=max_batch_size)[1] == expected


def test_a_model_without_batching_runs_one() -> None:
    spec = spec_of(X, max_batch_size=0, warmups=(warmup(given("FP32", "zero", 4)),))
    backend = Answering()
    assert [each.items for each in warm_up(backend, spec, "m_0", NO_POOL)] == [1]
    assert backend.given[0][0].inputs["X"].shape == (4,)
