"""Ensembles with a decoupled step: later steps run for each of its responses, and the client gets them as they come."""

import contextlib
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tests.harness.ensembles import Ensemble, Step
from tests.harness.faces import Call, GrpcFace, HttpFace, refusal
from tests.harness.models import add_constant, identity
from tests.harness.native_models import write_square
from tests.harness.observing import settled, statistics, wait_pool_empty
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving

_ONE = ("INT32", "1")
_DEADLINE_S = 30.0


def write_models(folder: Path) -> Path:
    """Models and the ensembles of them."""
    write_square(folder)
    add_constant(1000, (1,)).write(folder, "plus", extra=one_cpu())
    identity("INT32", [1]).write(folder, "same", extra=one_cpu())
    source = Step("square", {"IN": "N"}, {"OUT": "S"})
    plus = Step("plus", {"INPUT0": "S"}, {"OUTPUT0": "P"})
    Ensemble({"N": _ONE}, {"S": _ONE, "P": _ONE}, (source, plus), 0).write(folder, "stream")
    around = (
        Step("same", {"INPUT0": "I"}, {"OUTPUT0": "n"}),
        Step("stream", {"N": "n"}, {"P": "p"}),
        Step("plus", {"INPUT0": "p"}, {"OUTPUT0": "O"}),
    )
    Ensemble({"I": _ONE}, {"O": _ONE}, around, 0).write(folder, "around")
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("streams")
    server = Server(write_models(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server
        wait_pool_empty(server)


def responses(server: Server, model: str, name: str, number: int) -> list[Any]:
    """All responses to a request, the empty last one included."""
    answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    with contextlib.closing(tritonclient.grpc.InferenceServerClient(server.grpc_address)) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        given = tritonclient.grpc.InferInput(name, [1], "INT32")
        given.set_data_from_numpy(np.array([number], np.int32))
        client.async_stream_infer(model, [given], enable_empty_final_response=True)
        found = []
        while True:
            result, error = answers.get(timeout=_DEADLINE_S)
            if error is not None:
                raise InferenceServerException(error.message())
            found.append(result)
            if result.get_response().parameters["triton_final_response"].bool_param:
                client.stop_stream()
                return found


@pytest.mark.parametrize("number", [0, 1, 5, 200])
def test_there_is_a_response_for_each_of_the_decoupled_step(own: Server, number: int) -> None:
    found = responses(own, "stream", "N", number)
    full = [each for each in found if each.get_response().outputs]
    assert [each.as_numpy("S").tolist() for each in full] == [[number]] * number
    assert [each.as_numpy("P").tolist() for each in full] == [[number + 1000]] * number


def test_an_ensemble_of_a_decoupled_ensemble_is_decoupled(own: Server) -> None:
    found = responses(own, "around", "I", 7)
    assert [each.as_numpy("O").tolist() for each in found if each.get_response().outputs] == [[2007]] * 7
    with contextlib.closing(GrpcFace(own)) as face:
        config = face.ask("get_model_config", "around")
        assert config["config"]["model_transaction_policy"]["decoupled"] is True


def test_each_request_counts_once(own: Server) -> None:
    before = statistics(own, "stream")["inference_stats"]["success"]["count"]
    responses(own, "stream", "N", 9)
    assert settled(own, "stream", before + 1)["execution_count"] == before + 1


def test_a_call_for_one_answer_is_refused(own: Server) -> None:
    call = Call("stream", {"N": np.ones(1, np.int32)})
    for kind in (HttpFace, GrpcFace):
        with contextlib.closing(kind(own)) as face:
            assert "doesn't support models with decoupled transaction policy" in refusal(face, call).text
