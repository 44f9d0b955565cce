"""ModelInfer: one request, one response, and nothing left behind however the call ends."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.unit.frontend.connection import DATA, SPEC, FakeCore
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, unavailable
from tis.settings import ServerSettings
from tis_frontend.control_calls import ControlCalls
from tis_frontend.core import Core
from tis_frontend.grpc.infer_call import InferCalls
from tis_frontend.grpc.parameters import Metadata
from tis_frontend.model_table import ModelTable
from tis_frontend.server import Server

MANY = ModelSpec("many", 4, "", "python", 0, SPEC.inputs, SPEC.outputs, decoupled=True)


class Bench:
    """Calls in a loop that is turned by hand."""

    def __init__(self, settings: ServerSettings) -> None:
        self.loop = asyncio.new_event_loop()
        self.core = FakeCore()
        table = ModelTable()
        table.replace(m.Table(1, tuple(m.TableEntry(spec, True) for spec in (SPEC, MANY)), ()))
        self.server = Server(settings, cast(Core, self.core), table, cast(ControlCalls, None))
        self.calls = InferCalls(self.server)

    def begin(self, data: bytes, metadata: Metadata = ()) -> "asyncio.Task[bytes]":
        task = self.loop.create_task(self.calls.infer(data, metadata))
        self.turn()
        return task

    def turn(self) -> None:
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def fault(self, data: bytes) -> tuple[Code, str]:
        with pytest.raises(TisError) as caught:
            self.begin(data).result()
        assert self.core.blocks == {}
        return caught.value.code, caught.value.message


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(ServerSettings(grpc_header_forward_pattern="^x-"))
    yield made
    made.loop.close()


def request(model: str = "m", **fields: Any) -> bytes:
    message = pb.ModelInferRequest(model_name=model, id="r", **fields)
    message.inputs.add(name="A", datatype="FP32", shape=[4])
    message.raw_input_contents.append(DATA)
    data: bytes = message.SerializeToString()
    return data


def test_the_response_has_the_id_the_version_that_answered_and_the_bytes(bench: Bench) -> None:
    task = bench.begin(request())
    assert bench.core.tensor(0) == DATA
    bench.core.answer(0, n=3)
    bench.turn()
    response = pb.ModelInferResponse.FromString(task.result())
    assert (response.id, response.model_name, response.model_version) == ("r", "m", "1")
    assert list(response.raw_output_contents) == [DATA]
    assert response.parameters["n"].int64_param == 3
    assert len(bench.core.released) == 1


def test_a_failure_is_the_calls(bench: Bench) -> None:
    task = bench.begin(request())
    bench.core.answer(0, internal("boom"))
    bench.turn()
    with pytest.raises(TisError, match="boom"):
        task.result()


def test_refusals_leave_no_block(bench: Bench) -> None:
    assert bench.fault(b"\xff\xff") == (Code.INTERNAL, "Unable to parse request")
    assert bench.fault(request("zzz")) == (Code.NOT_FOUND, "Request for unknown model: 'zzz' is not found")
    assert bench.fault(request("many")) == (
        Code.UNSUPPORTED,
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
    )
    bench.core.refusal = unavailable("full")
    assert bench.fault(request()) == (Code.UNAVAILABLE, "full")
    bench.server.stopping = True
    assert bench.fault(request()) == (Code.UNAVAILABLE, "Server exiting")


def test_a_call_that_is_cancelled_cancels_its_request(bench: Bench) -> None:
    task = bench.begin(request())
    task.cancel()
    bench.turn()
    assert task.cancelled()
    assert bench.core.submitted[0].cancelled


def test_an_answer_in_the_very_turn_of_the_cancel_is_released(bench: Bench) -> None:
    task = bench.begin(request())
    task.cancel()
    bench.core.answer(0)
    bench.turn()
    assert task.cancelled()
    assert len(bench.core.released) == 1


def test_an_answer_just_before_the_cancel_is_released(bench: Bench) -> None:
    task = bench.begin(request())
    bench.core.answer(0)
    task.cancel()
    bench.turn()
    assert len(bench.core.released) == 1


def test_metadata_that_match_are_parameters(bench: Bench) -> None:
    bench.begin(request(), (("x-tenant", "blue"), ("tenant-x-", "no")))
    assert bench.core.submitted[0].plan.parameters == {"x-tenant": "blue"}
    bench.core.answer(0)
    bench.turn()
