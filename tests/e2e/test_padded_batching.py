"""Padded inputs, an extension: requests of different lengths run as one, and nobody's answer tells of the others."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from tests.e2e.test_ragged_batching import ITEMS, PATIENT, answers, executions
from tests.harness.batch_models import masked_mean
from tests.harness.faces import FACES, Answer, Call
from tests.harness.observing import statistics
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

LENGTHS = (3, 8, 1, 5)


def extension(**parameters: str) -> str:
    return "".join(
        f'parameters {{ key: "tis.{name}" value {{ string_value: "{value}" }} }}\n'
        for name, value in parameters.items()
    )


PADDED = extension(pad_inputs="VALUES:99, MASK:0", sliced_outputs="TWICE")


@pytest.fixture(scope="module")
def padded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("padded")
    repository = folder / "models"
    buckets = extension(length_buckets="4, 16")
    masked_mean().write(repository, "padded", max_batch_size=len(LENGTHS), extra=PATIENT + PADDED)
    masked_mean().write(repository, "bucketed", max_batch_size=2, extra=PATIENT + PADDED + buckets)
    masked_mean().write(repository, "at_once", max_batch_size=ITEMS, extra=one_cpu() + PADDED + buckets)
    uncut = extension(pad_inputs="VALUES:99, MASK:0") + buckets
    masked_mean().write(repository, "uncut", max_batch_size=ITEMS, extra=one_cpu() + uncut)
    masked_mean().write(
        repository, "wrong", max_batch_size=ITEMS, extra=one_cpu() + PADDED.replace("MASK:0", "MASK:none")
    )
    server = Server(repository, "--log-verbose=1", "--exit-on-error=false", log=folder / "log")
    try:
        server.start()
        eventually(lambda: all(ready(server, name) for name in ("padded", "bucketed", "at_once", "uncut")), "loaded")
        yield server
        assert server.stop() == 0
    finally:
        print(server.log())
        server.close()


def ready(server: Server, model: str) -> bool:
    return server.get(f"/v2/models/{model}/ready")[0] == 200


def call(model: str, length: int, items: int = 1) -> Call:
    values = np.arange(length * items, dtype=np.float32).reshape(items, length) + length
    return Call(model, {"VALUES": values, "MASK": np.ones((items, length), np.float32)})


def check(answer: Answer, asked: Call) -> None:
    """What a model that ran the request alone would answer."""
    values = asked.inputs["VALUES"]
    assert answer.outputs["TWICE"].tolist() == (values * 2).tolist()
    np.testing.assert_allclose(answer.outputs["MEAN"], values.mean(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_requests_of_different_lengths_share_an_execution_and_do_not_show_in_each_others_answers(
    padded_server: Server, kind: str
) -> None:
    before = statistics(padded_server, "padded")["execution_count"]
    calls = [call("padded", length) for length in LENGTHS]
    for answer, asked in zip(answers(padded_server, kind, calls), calls, strict=True):
        check(answer, asked)
        assert answer.outputs["LENGTH"].tolist() == [[max(LENGTHS)]]
    assert eventually(lambda: executions(padded_server, "padded") == before + 1, "one execution is counted")


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_only_requests_of_one_bucket_share_an_execution(padded_server: Server, kind: str) -> None:
    before = statistics(padded_server, "bucketed")["execution_count"]
    calls = [call("bucketed", length) for length in (2, 4)]
    for answer, asked in zip(answers(padded_server, kind, calls), calls, strict=True):
        check(answer, asked)
        assert answer.outputs["LENGTH"].tolist() == [[4]]
    assert eventually(lambda: executions(padded_server, "bucketed") == before + 1, "one execution is counted")
    # Four requests of two buckets: whichever comes first, another bucket ends its batch.
    calls = [call("bucketed", length, 2) for length in (3, 9, 1, 16)]
    for answer, asked in zip(answers(padded_server, kind, calls), calls, strict=True):
        check(answer, asked)
        assert answer.outputs["LENGTH"].tolist() == [[4 if asked.inputs["VALUES"].shape[1] <= 4 else 16]] * 2
    assert eventually(lambda: executions(padded_server, "bucketed") == before + 5, "four more are counted")


@pytest.mark.parametrize(("length", "filled"), [(0, 4), (1, 4), (4, 4), (5, 16), (16, 16), (17, 17), (70000, 70000)])
def test_a_request_alone_is_filled_up_to_its_bucket_and_beyond_the_last_not_at_all(
    padded_server: Server, length: int, filled: int
) -> None:
    asked = call("at_once", length, 2)
    with contextlib.closing(FACES["grpc"](padded_server)) as face:
        # The second answer of such a size is computed in place.
        for _ in range(2):
            answer = face.infer(asked)
            assert answer.outputs["LENGTH"].tolist() == [[filled]] * 2
            assert answer.outputs["TWICE"].shape == (2, length)
            if length:
                check(answer, asked)


def test_outputs_that_are_not_named_keep_what_was_filled_up(padded_server: Server) -> None:
    with contextlib.closing(FACES["http"](padded_server)) as face:
        assert face.infer(call("uncut", 3)).outputs["TWICE"].tolist() == [[6, 8, 10, 198]]


def test_a_parameter_that_cannot_be_read_fails_the_load_by_name(padded_server: Server) -> None:
    words = "parameter 'tis.pad_inputs' of wrong must hold numbers to fill with; got 'none'"
    eventually(lambda: words in padded_server.log(), "the reason is in the log")
    assert not ready(padded_server, "wrong")
