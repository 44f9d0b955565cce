"""ModelStreamInfer: requests are taken as they come, several are in flight, and each gets its responses.

Responses of models that answer once leave in the order of their requests; those of decoupled models as they come. What
goes wrong with one request is told in its response and the stream goes on, unless the client asks for the strict form.

A transport gives the bytes of requests as they arrive and writes the bytes that it gets, one after another. It asks for
the next response when the last one is written: so a client that does not read is not read from either. What waits for it
is bounded, see `tis_frontend.backlog`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from tis.contracts.inference import Answer, InferRequest
from tis.errors import TisError, internal, unavailable
from tis.log import get_logger
from tis_frontend.backlog import BACKLOG, Backlog
from tis_frontend.core import now_ns
from tis_frontend.grpc.infer_call import InferCalls, fill_response
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.parameters import Metadata, wants_empty_final
from tis_frontend.grpc.wire import parse
from tis_frontend.model_table import ServedModel
from tis_frontend.observer import Observed
from tis_frontend.server import Server

#: Requests of one stream that may wait for their last response to be written; further ones are not read before.
MOST_IN_FLIGHT: Final = 256
#: Nor are they while so much waits to be written.
MOST_UNWRITTEN_BYTES: Final = 16 << 20

_FINAL: Final = "triton_final_response"
STOPPING: Final = "GRPC server is shutting down and has stopped accepting new requests."

_log = get_logger(__name__)


class _Turn:
    """A request of the stream that has not got its last response yet."""

    __slots__ = (
        "client_id",
        "decoupled",
        "empty_final",
        "model",
        "name",
        "request",
        "request_id",
        "response",
        "trace",
        "version",
    )

    def __init__(self, message: Any) -> None:
        self.client_id: str = message.id
        self.name: str = message.model_name
        #: As requested, which may be empty.
        self.version: str = message.model_version
        self.empty_final = False
        self.decoupled = False
        self.model: ServedModel | None = None
        self.request: InferRequest | None = None
        #: What to cancel it by; 0 while or after the core knows nothing of it.
        self.request_id = 0
        #: What waits for the responses of earlier requests.
        self.response: bytes | TisError | None = None
        self.trace: Observed | None = None


class InferStream:
    """One stream."""

    def __init__(self, server: Server, calls: InferCalls, metadata: Metadata, backlog: Backlog = BACKLOG) -> None:
        self._server = server
        self._calls = calls
        self._metadata = metadata = tuple(metadata)
        self._strict = ("triton_grpc_error", "true") in metadata
        #: Turns whose responses keep the order of requests.
        self._ordered: deque[_Turn] = deque()
        #: Turns that the core may still answer.
        self._awaited: set[_Turn] = set()
        #: Responses to be written, or the error that ends the stream, and whether a request is done with it.
        self._ready: deque[tuple[bytes | TisError, bool]] = deque()
        self._line = backlog.line(self._give_up)
        self._reading: asyncio.Task[None] | None = None
        self._in_flight = 0
        self._all_read = False
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def responses(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The bytes of the responses. Closing this early cancels what is in flight.

        Raises:
            TisError: the stream ends with this status.
        """
        reading = self._reading = asyncio.ensure_future(self._read(requests))
        try:
            while True:
                while self._ready:
                    response, last = self._ready.popleft()
                    if isinstance(response, TisError):
                        raise response
                    self._line.remove(len(response))
                    yield response
                    if last:
                        self._in_flight -= 1
                    self._room.set()
                if self._all_read and not self._in_flight:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            reading.cancel()
            self._cancel()
            self._line.close()

    def _cancel(self) -> None:
        """Nobody waits for what is in flight any more."""
        self._ended = True
        for turn in self._awaited:
            self._server.core.cancel(turn.request_id)
        self._awaited.clear()

    def _give_up(self, error: TisError) -> None:
        """The client does not take its responses: it gets this in their place, if it goes on."""
        self._cancel()
        if self._reading is not None:
            self._reading.cancel()
        self._ordered.clear()
        self._ready.clear()
        self._ready.append((error, True))
        self._news.set()

    # ---- requests --------------------------------------------------------------------------------------------------

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        try:
            async for data in requests:
                self._in_flight += 1
                if not self._take(data):
                    return
                while self._in_flight >= MOST_IN_FLIGHT or self._line.waiting_bytes > MOST_UNWRITTEN_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one stream ends that stream
            _log.exception("reading a stream failed")
            self._write(internal(f"{type(error).__name__}: {error}"), last=True)
        finally:
            self._all_read = True
            self._news.set()

    def _take(self, data: bytes) -> bool:
        """Begin a request; False where there is no use in reading on."""
        arrival_ns = now_ns()
        try:
            message = parse(pb.ModelInferRequest, data)
        except TisError as error:
            # No response can tell which request this was to be: the stream ends when those before have theirs.
            nobody = _Turn(pb.ModelInferRequest())
            self._ordered.append(nobody)
            self._respond(nobody, error, last=True)
            return False
        turn = _Turn(message)
        try:
            self._submit(turn, message, arrival_ns)
        except TisError as error:
            self._refuse(turn, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one request is that request's answer
            _log.exception("a request of a stream failed")
            self._refuse(turn, internal(f"{type(error).__name__}: {error}"))
        return True

    def _submit(self, turn: _Turn, message: Any, arrival_ns: int) -> None:
        if self._server.stopping:
            raise unavailable(STOPPING)
        turn.model = model = self._calls.find_model(message)
        turn.decoupled = model.spec.decoupled
        tracer = self._server.core.tracer
        if tracer is not None:
            turn.trace = tracer.sample(model.spec, "GRPC", arrival_ns, self._metadata)
        turn.request, turn.request_id = self._calls.submit(
            model, message, self._metadata, arrival_ns, lambda answer: self._answered(turn, answer), turn.trace
        )
        turn.empty_final = turn.decoupled and wants_empty_final(message.parameters)
        self._awaited.add(turn)
        if not turn.decoupled:
            self._ordered.append(turn)

    def _refuse(self, turn: _Turn, error: TisError) -> None:
        """The request did not get as far as the scheduler: its response has its id and nothing else."""
        response = pb.ModelStreamInferResponse(error_message=error.message)
        response.infer_response.id = turn.client_id
        if not turn.decoupled:
            self._ordered.append(turn)
        self._respond(turn, error if self._strict else response.SerializeToString(), last=True)

    # ---- answers ---------------------------------------------------------------------------------------------------

    def _answered(self, turn: _Turn, answer: Answer) -> None:
        if answer.final:
            self._awaited.discard(turn)
        if self._ended:
            self._server.core.release(answer)
            return
        try:
            response = self._render(turn, answer)
        except TisError as error:
            response = self._failed(turn, error, answer)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one answer is that answer's text
            _log.exception("an answer could not be written")
            response = self._failed(turn, internal(f"{type(error).__name__}: {error}"), answer)
        finally:
            self._server.core.release(answer)
        if turn.trace is not None:
            turn.trace.sending()
        if response is not None:
            self._respond(turn, response, last=answer.final)
        elif answer.final:
            self._done()
        if turn.trace is not None and answer.final:
            turn.trace.sent()

    def _render(self, turn: _Turn, answer: Answer) -> bytes | TisError | None:
        """The response; None for the end of a decoupled request whose client does not want to be told."""
        if answer.error is not None:
            return self._failed(turn, answer.error, answer)
        model, request = turn.model, turn.request
        if model is None or request is None:
            raise internal("an answer without a request")
        response = pb.ModelStreamInferResponse()
        inner = response.infer_response
        if answer.is_empty:
            if not turn.empty_final:
                return None
            inner.id, inner.model_name, inner.model_version = turn.client_id, turn.name, turn.version
        else:
            fill_response(inner, model, request, answer)
        inner.parameters[_FINAL].bool_param = answer.final
        rendered: bytes = response.SerializeToString()
        return rendered

    def _failed(self, turn: _Turn, error: TisError, answer: Answer) -> bytes | TisError:
        if self._strict:
            return error
        response = pb.ModelStreamInferResponse(error_message=error.message)
        inner = response.infer_response
        inner.id, inner.model_name, inner.model_version = turn.client_id, turn.name, turn.version
        inner.parameters[_FINAL].bool_param = answer.final
        rendered: bytes = response.SerializeToString()
        return rendered

    # ---- the way out -----------------------------------------------------------------------------------------------

    def _respond(self, turn: _Turn, response: bytes | TisError, *, last: bool) -> None:
        if turn.decoupled:
            self._write(response, last=last)
            if not isinstance(response, TisError):
                self._line.add(len(response), bounded=True)
            return
        turn.response = response
        if not isinstance(response, TisError):
            # Those that wait for earlier ones count as well.
            self._line.add(len(response), bounded=False)
        while self._ordered and (first := self._ordered[0].response) is not None:
            self._ordered.popleft()
            self._write(first, last=True)

    def _write(self, response: bytes | TisError, *, last: bool) -> None:
        self._ready.append((response, last))
        self._news.set()

    def _done(self) -> None:
        self._in_flight -= 1
        self._room.set()
        self._news.set()
