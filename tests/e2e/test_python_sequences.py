"""Sequences whose model is Python: controls and fillers as inputs, and iterative requests that run until they are done."""

import concurrent.futures
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc

from tests.harness.observing import settled
from tests.harness.repository import one_cpu
from tests.harness.sequence_models import CONTROLS
from tests.harness.server import Server, serving

#: Answers with all passes of a request, and what the model saw in each; INPUT says how many there shall be.
_CODE: Final = """\
import json
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.passes = {}

    def execute(self, requests):
        batch = [{tensor.name(): tensor.as_numpy().item() for tensor in request.inputs()} for request in requests]
        return [self.step(request, at, batch) for at, request in enumerate(requests)]

    def step(self, request, at, batch):
        seen, number = batch[at], request.correlation_id()
        passes = self.passes.setdefault(number, [])
        passes.append({"flags": request.flags(), "at": at, "ready": [each["READY"] for each in batch], **seen})
        if seen["READY"] and len(passes) < seen["INPUT"]:
            request.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return None
        del self.passes[number]
        return pb.InferenceResponse([pb.Tensor("OUTPUT", np.array([[json.dumps(passes)]], object))])
"""


def write(folder: Path, name: str, sequences: str) -> None:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.py").write_text(_CODE)
    (folder / name / "config.pbtxt").write_text(
        f'backend: "python" max_batch_size: 4 {one_cpu()}'
        'input { name: "INPUT" data_type: TYPE_INT32 dims: 1 } output { name: "OUTPUT" data_type: TYPE_STRING dims: 1 }'
        f"sequence_batching {{ {sequences} {CONTROLS} }}"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("python_sequences")
    write(folder / "models", "direct", "max_sequence_idle_microseconds: 60000000")
    write(folder / "models", "again", "iterative_sequence: true")
    write(folder / "models", "again_oldest", "iterative_sequence: true oldest { max_candidate_sequences: 2 }")
    own = Server(folder / "models", "--log-verbose=1", log=folder / "log")
    with serving(own):
        yield own


def passes(server: Server, model: str, value: int, **sequence: Any) -> list[dict[str, Any]]:
    """What the model saw of a request."""
    with contextlib.closing(tritonclient.grpc.InferenceServerClient(server.grpc_address)) as client:
        given = tritonclient.grpc.InferInput("INPUT", [1, 1], "INT32")
        given.set_data_from_numpy(np.array([[value]], np.int32))
        seen: list[dict[str, Any]] = json.loads(client.infer(model, [given], **sequence).as_numpy("OUTPUT").item())
        return seen


def test_a_python_model_sees_controls_and_fillers_as_inputs(server: Server) -> None:
    for number in (1, 2):
        passes(server, "direct", 1, sequence_id=number, sequence_start=True)
    (seen,) = passes(server, "direct", 1, sequence_id=2, sequence_end=True)
    assert seen == {
        "INPUT": 1,
        "START": 0,
        "END": 2.0,
        "READY": True,
        "CORRID": 2,
        "at": 1,
        "ready": [False, True],
        "flags": 2,
    }


@pytest.mark.parametrize("model", ["again", "again_oldest"])
def test_an_iterative_request_runs_until_its_model_is_done_with_it(server: Server, model: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        counts = (3, 1, 5, 2, 4, 1)
        answers = list(pool.map(lambda count: passes(server, model, count), counts))
    for count, seen in zip(counts, answers, strict=True):
        assert len(seen) == count
        assert [each["START"] for each in seen] == [1] + [0] * (count - 1)
        assert [each["flags"] for each in seen] == [1] + [0] * (count - 1)
        assert len({each["CORRID"] for each in seen}) == 1
    assert len({seen[0]["CORRID"] for seen in answers}) == len(counts)
    stats = settled(server, model, len(counts))
    assert stats["inference_count"] == sum(counts)
    assert stats["inference_stats"]["fail"]["count"] == 0
