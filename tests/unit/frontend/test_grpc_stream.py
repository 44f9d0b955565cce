"""A stream: several requests in flight, each with its responses in their order, and nothing left when it ends early."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.unit.frontend.connection import DATA, SPEC, FakeCore, Submitted
from tis.contracts import messages as m
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, unavailable
from tis.settings import ServerSettings
from tis_frontend.backlog import BACKLOG, Backlog
from tis_frontend.control_calls import ControlCalls
from tis_frontend.core import Core
from tis_frontend.grpc.infer_call import InferCalls
from tis_frontend.grpc.parameters import Metadata
from tis_frontend.grpc.stream import MOST_IN_FLIGHT, InferStream
from tis_frontend.model_table import ModelTable
from tis_frontend.server import Server

STRICT = (("triton_grpc_error", "true"),)
MANY = ModelSpec("many", 4, "", "python", 0, SPEC.inputs, SPEC.outputs, decoupled=True)


class Client:
    """The other end of a stream, and the core's answers, stepped by hand."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.core = FakeCore()
        table = ModelTable()
        table.replace(m.Table(1, tuple(m.TableEntry(spec, True) for spec in (SPEC, MANY)), ()))
        settings = ServerSettings(grpc_header_forward_pattern="x-")
        self.server = Server(settings, cast(Core, self.core), table, cast(ControlCalls, None))
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.read = 0
        self.responses: list[Any] = []
        self.ended: list[TisError | None] = []
        self.task: asyncio.Task[None] | None = None

    def open(self, metadata: Metadata = (), reads: asyncio.Semaphore | None = None, backlog: Backlog = BACKLOG) -> None:
        stream = InferStream(self.server, InferCalls(self.server), metadata, backlog)

        async def requests() -> AsyncIterator[bytes]:
            while (data := await self._sent.get()) is not None:
                self.read += 1
                yield data

        async def run() -> None:
            responses = stream.responses(requests())
            try:
                async for data in responses:
                    if reads is not None:
                        await reads.acquire()
                    self.responses.append(pb.ModelStreamInferResponse.FromString(data))
                self.ended.append(None)
            except TisError as error:
                self.ended.append(error)
            finally:
                await responses.aclose()

        self.task = self.loop.create_task(run())
        self.turn()

    def turn(self) -> None:
        for _ in range(20):
            self.loop.run_until_complete(asyncio.sleep(0))

    def send(
        self, request_id: str, model: str = "m", *, version: str = "", turn: bool = True, **parameters: Any
    ) -> None:
        message = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
        message.inputs.add(name="A", datatype="FP32", shape=[4])
        message.raw_input_contents.append(DATA)
        for name, value in parameters.items():
            message.parameters[name].bool_param = value
        self.send_bytes(message.SerializeToString())
        if turn:
            self.turn()

    def send_bytes(self, data: bytes) -> None:
        self._sent.put_nowait(data)

    def half_close(self) -> None:
        self._sent.put_nowait(None)
        self.turn()

    def answer(
        self, submitted: Submitted, error: TisError | None = None, *, final: bool = True, empty: bool = False
    ) -> None:
        deliver = submitted.deliver
        assert deliver is not None
        if final:
            self.core.blocks.pop(submitted.block.offset, None)
        outputs = [] if error or empty else [OutputTensor("Y", "FP32", (4,), memoryview(DATA))]
        deliver(Answer(outputs, error, final=final, is_empty=empty))
        self.turn()

    @property
    def ids(self) -> list[str]:
        return [response.infer_response.id for response in self.responses]


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    if made.task is not None and not made.task.done():
        made.task.cancel()
        made.turn()
    made.loop.close()


def final_of(response: Any) -> bool | None:
    parameters = response.infer_response.parameters
    return parameters["triton_final_response"].bool_param if "triton_final_response" in parameters else None


# ---- models that answer once ---------------------------------------------------------------------------------------


def test_a_stream_without_requests_ends_well(client: Client) -> None:
    client.open()
    client.half_close()
    assert (client.responses, client.ended) == ([], [None])


def test_requests_are_submitted_before_earlier_ones_are_answered(client: Client) -> None:
    client.open()
    for name in "abc":
        client.send(name)
    assert [each.client_id for each in client.core.submitted] == ["a", "b", "c"]


def test_responses_keep_the_order_of_their_requests(client: Client) -> None:
    client.open()
    for name in "abc":
        client.send(name)
    a, b, c = client.core.submitted
    client.answer(c)
    client.answer(b)
    assert client.ids == []
    client.answer(a)
    assert client.ids == ["a", "b", "c"]
    assert [final_of(each) for each in client.responses] == [True] * 3


def test_a_response_has_the_outputs_and_says_that_it_is_the_last(client: Client) -> None:
    client.open()
    client.send("a")
    client.answer(client.core.submitted[0])
    [response] = client.responses
    inner = response.infer_response
    assert (response.error_message, inner.model_name, inner.model_version) == ("", "m", "1")
    assert list(inner.raw_output_contents) == [DATA]
    assert len(client.core.released) == 1


def test_the_stream_ends_when_the_last_request_is_answered(client: Client) -> None:
    client.open()
    client.send("a")
    client.half_close()
    assert client.ended == []
    client.answer(client.core.submitted[0])
    assert (client.ids, client.ended) == (["a"], [None])


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_refused_request_is_told_with_its_id_alone_and_the_stream_goes_on(client: Client) -> None:
    client.open()
    client.send("bad", model="zzz")
    client.send("good")
    client.answer(client.core.submitted[0])
    client.half_close()
    refused = client.responses[0]
    assert refused.error_message == "Request for unknown model: 'zzz' is not found"
    assert (refused.infer_response.id, refused.infer_response.model_name, final_of(refused)) == ("bad", "", None)
    assert (client.ids, client.ended) == (["bad", "good"], [None])


def test_a_refusal_waits_for_earlier_responses(client: Client) -> None:
    client.open()
    client.send("slow")
    client.send("bad", model="zzz")
    assert client.ids == []
    client.answer(client.core.submitted[0])
    assert client.ids == ["slow", "bad"]


def test_a_failed_execution_is_told_with_model_and_version_as_requested(client: Client) -> None:
    client.open()
    client.send("a")
    client.send("b", version="1")
    for each in client.core.submitted:
        client.answer(each, internal("boom"))
    told = [(r.error_message, r.infer_response.model_name, r.infer_response.model_version) for r in client.responses]
    assert told == [("boom", "m", ""), ("boom", "m", "1")]
    assert [final_of(each) for each in client.responses] == [True, True]


def test_what_the_core_cannot_take_is_a_refusal_that_leaves_no_block(client: Client) -> None:
    client.open()
    client.core.refusal = unavailable("full")
    client.send("a")
    assert [each.error_message for each in client.responses] == ["full"]
    assert client.core.blocks == {}


def test_a_message_that_is_none_ends_the_stream_after_the_responses_before_it(client: Client) -> None:
    client.open()
    client.send("a")
    client.send_bytes(b"\xff\xff\xff")
    client.send("never")
    assert client.ended == []
    client.answer(client.core.submitted[0])
    [error] = client.ended
    assert error is not None
    assert (client.ids, error.code, error.message) == (["a"], Code.INTERNAL, "Unable to parse request")
    assert len(client.core.submitted) == 1


def test_while_the_server_stops_new_requests_are_refused_and_old_ones_answered(client: Client) -> None:
    client.open()
    client.send("old")
    client.server.stopping = True
    client.send("new")
    client.answer(client.core.submitted[0])
    assert client.ids == ["old", "new"]
    assert client.responses[1].error_message == ("GRPC server is shutting down and has stopped accepting new requests.")


# ---- the strict form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["True", "1", "", "false"])
def test_only_the_word_true_asks_for_the_strict_form(client: Client, value: str) -> None:
    client.open((("triton_grpc_error", value),))
    client.send("bad", model="zzz")
    assert (client.ids, client.ended) == (["bad"], [])


def test_in_the_strict_form_a_failure_ends_the_stream_and_cancels_the_rest(client: Client) -> None:
    client.open(STRICT)
    for name in "abc":
        client.send(name)
    a, b, c = client.core.submitted
    client.answer(a)
    client.answer(b, TisError(Code.NOT_FOUND, "boom"))
    [error] = client.ended
    assert error is not None
    assert (client.ids, error.code, error.message) == (["a"], Code.NOT_FOUND, "boom")
    assert [each.cancelled for each in (a, b, c)] == [False, False, True]


def test_in_the_strict_form_a_refusal_ends_the_stream(client: Client) -> None:
    client.open(STRICT)
    client.send("bad", model="zzz")
    [error] = client.ended
    assert error is not None
    assert (client.responses, error.code) == ([], Code.NOT_FOUND)


# ---- decoupled models ----------------------------------------------------------------------------------------------


def test_responses_of_a_decoupled_model_leave_as_they_come(client: Client) -> None:
    client.open()
    client.send("once")
    client.send("x", "many")
    client.send("y", "many")
    once, x, y = client.core.submitted
    client.answer(x, final=False)
    client.answer(y, final=False)
    client.answer(x, final=True)
    client.answer(once)
    assert client.ids == ["x", "y", "x", "once"]
    assert [final_of(each) for each in client.responses] == [False, False, True, True]


def test_the_bare_end_of_a_decoupled_request_is_told_only_on_request(client: Client) -> None:
    client.open()
    client.send("quiet", "many")
    client.send("told", "many", triton_enable_empty_final_response=True)
    client.half_close()
    for each in client.core.submitted:
        client.answer(each, empty=True)
    [response] = client.responses
    inner = response.infer_response
    assert (inner.id, inner.model_name, inner.model_version, len(inner.outputs)) == ("told", "many", "", 0)
    assert (final_of(response), client.ended) == (True, [None])


def test_an_error_among_the_responses_of_a_decoupled_model_is_one_of_them(client: Client) -> None:
    client.open()
    client.send("x", "many")
    client.half_close()
    [x] = client.core.submitted
    client.answer(x, internal("negative"), final=False)
    client.answer(x, final=True)
    assert [(each.error_message, final_of(each)) for each in client.responses] == [("negative", False), ("", True)]
    assert client.ended == [None]


# ---- flow and ends -------------------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_not_read_from(client: Client) -> None:
    reads = asyncio.Semaphore(0)
    client.open(reads=reads)
    for number in range(MOST_IN_FLIGHT + 50):
        client.send(str(number), turn=False)
    for _ in range(MOST_IN_FLIGHT // 4):
        client.turn()
    assert client.read == MOST_IN_FLIGHT
    for each in list(client.core.submitted):
        client.answer(each)
    assert client.read == MOST_IN_FLIGHT
    for _ in range(10):
        reads.release()
    client.turn()
    assert len(client.responses) == 10
    assert MOST_IN_FLIGHT < client.read <= MOST_IN_FLIGHT + 10


def test_a_stream_that_is_cancelled_cancels_what_is_in_flight(client: Client) -> None:
    client.open()
    for name in "abc":
        client.send(name)
    a, b, c = client.core.submitted
    client.answer(b)
    assert client.task is not None
    client.task.cancel()
    client.turn()
    assert [each.cancelled for each in (a, b, c)] == [True, False, True]


def test_an_answer_that_comes_after_the_end_is_released(client: Client) -> None:
    client.open()
    client.send("a")
    assert client.task is not None
    client.task.cancel()
    client.turn()
    client.answer(client.core.submitted[0])
    assert len(client.core.released) == 1


def test_metadata_that_match_are_parameters_of_every_request(client: Client) -> None:
    client.open((("x-tenant", "blue"), ("y", "no")))
    client.send("a")
    client.send("b")
    assert [each.plan.parameters for each in client.core.submitted] == [{"x-tenant": "blue"}] * 2
