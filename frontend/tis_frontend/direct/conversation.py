"""What one direct client asks and is answered: it translates to the core and to control calls, and decides nothing.

Whatever a client sends is checked, is answered, and is its own affair. When it goes, all that it held goes with it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec

from tis.contracts.inference import Answer
from tis.contracts.plan import make_plan
from tis.contracts.versions import parse_version
from tis.errors import Code, TisError, internal, invalid, unavailable
from tis.log import get_logger
from tis_frontend.classification import classify
from tis_frontend.core import Deliver, now_ns
from tis_frontend.direct import messages as dm
from tis_frontend.direct.infer_request import Data, parse
from tis_frontend.direct.regions import ClientRegions
from tis_frontend.direct.remembered import Asked, Remembered
from tis_frontend.direct.zmtp import Incoming, Limits
from tis_frontend.observer import Observed
from tis_frontend.server import Server
from tis_frontend.statistics_form import statistics_form

#: Requests and calls of one client that may wait for their answers.
MOST_IN_FLIGHT: Final = 256

#: Sends a message with the frames behind its head; gives how many bytes that are.
Send = Callable[[Any, list[bytes | memoryview]], int]

_log = get_logger(__name__)


class Conversation:
    """One client, from its connection to its end."""

    #: Whether heads that come again need not be read again.
    remembers = True

    def __init__(self, server: Server, limits: Limits, send: Send, hang_up: Callable[[], None]) -> None:
        self._server = server
        self._limits = limits
        self._send = send
        self._hang_up = hang_up
        #: Who the client is, for the log.
        self.peer = "-"
        self._is_greeted = False
        self._has_ended = False
        self._regions: Final = ClientRegions(server, secrets.token_hex(16))
        #: The core's number of each request that is not answered yet, by the client's.
        self._requests: dict[int, int] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._remembered: Final = Remembered(server)

    def meet(self, peer: str, pid: int) -> None:
        """Who the client is, and its process where that is known for sure, else 0."""
        self.peer, self._regions.pid = peer, pid

    def take(self, incoming: Incoming) -> None:
        """A message has come."""
        head, *frames = incoming.frames
        if incoming.refusal is not None:
            self._refuse(dm.id_of(head), incoming.refusal)
            return
        found = self._remembered.find(head, frames)
        if found is not None and self._is_free(found[1]):
            self._repeat(*found, frames)
            return
        try:
            message = dm.decode(head)
        except msgspec.DecodeError as error:
            self._refuse(dm.id_of(head), invalid(f"the message cannot be read: {error}"))
            return
        try:
            asked = self._act(message, frames)
            if asked is not None and self.remembers and isinstance(message, dm.Infer):
                self._remembered.add(head, frames, message, asked)
        except TisError as error:
            self._refuse(getattr(message, "id", 0), error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one message is that message's answer
            _log.exception("a message of a direct client failed")
            self._refuse(getattr(message, "id", 0), internal(f"{type(error).__name__}: {error}"))

    def end(self) -> None:
        """The client has gone: nothing that it asked for is wanted any more."""
        self._has_ended = True
        for request_id in self._requests.values():
            self._server.core.cancel(request_id)
        self._requests.clear()
        self._calls.clear()
        self._remembered.clear()
        self._regions.end()

    @property
    def is_busy(self) -> bool:
        """True while the client waits for an answer."""
        return bool(self._requests or self._calls)

    # ---- what clients say ------------------------------------------------------------------------------------------

    def _act(self, message: dm.FromClient, frames: list[Data]) -> Asked | None:
        """Do what is wanted; gives a request that was sent off."""
        if self._is_greeted and isinstance(message, dm.Infer) and self._is_free(message.id):
            return self._infer(message, frames)
        self._answer_call(message)
        return None

    def _is_free(self, number: int) -> bool:
        """True where a request may have this number now."""
        requests, calls = self._requests, self._calls
        return number not in requests and number not in calls and len(requests) + len(calls) < MOST_IN_FLIGHT

    def _answer_call(self, message: dm.FromClient) -> None:
        if isinstance(message, dm.Hello):
            self._greet(message)
            return
        if not self._is_greeted:
            text = "this connection is new to the server, which may have been restarted: say hello first"
            self._say(dm.Error(message.id, Code.UNAVAILABLE, text, greet=True))
            return
        if isinstance(message, dm.Cancel):
            self._cancel(message.id)
            return
        if isinstance(message, dm.Ping):
            self._say({"type": "pong", "id": message.id})
            return
        if message.id in self._requests or message.id in self._calls:
            raise invalid(f"the id {message.id} is that of a request or call that is not answered yet")
        if len(self._requests) + len(self._calls) >= MOST_IN_FLIGHT:
            raise unavailable(f"{MOST_IN_FLIGHT} requests and calls of this client wait for their answers already")
        if isinstance(message, dm.GetMetadata):
            self._say(self._metadata(message))
        elif isinstance(message, dm.GetStatistics):
            self._call(message.id, self._statistics(message))
        elif isinstance(message, dm.Grant):
            self._call(message.id, self._regions.grant(message))
        elif isinstance(message, dm.Register):
            self._call(message.id, self._regions.register(message))
        elif isinstance(message, dm.Release):
            self._call(message.id, self._regions.release(message))

    def _greet(self, message: dm.Hello) -> None:
        if message.version != dm.DIRECT_VERSION:
            self._fail(0, invalid(f"this server speaks version {dm.DIRECT_VERSION}, not {message.version}"))
            self._hang_up()
            return
        self._is_greeted = True
        metadata = self._server.metadata()
        self._say(
            {
                "type": "welcome",
                "version": dm.DIRECT_VERSION,
                "server": metadata["name"],
                "server_version": metadata["version"],
                "shared_memory": self._server.settings.allow_client_shm,
                "limits": {
                    **self._limits._asdict(),
                    "in_flight": MOST_IN_FLIGHT,
                    **self._regions.limits(),
                },
            }
        )
        _log.debug("direct client '%s' has connected (%s)", message.client, self.peer)

    def _metadata(self, message: dm.GetMetadata) -> dict[str, Any]:
        server = self._server
        if not message.model:
            return {"type": "metadata", "id": message.id, **server.metadata(), "ready": server.ready}
        version = parse_version(message.version)
        spec = server.model(message.model, version).spec
        found = server.model_metadata(message.model, version)
        about = {"max_batch_size": spec.max_batch_size, "decoupled": spec.decoupled}
        return {"type": "metadata", "id": message.id, **found, **about}

    async def _statistics(self, message: dm.GetStatistics) -> dict[str, Any]:
        found = await self._server.statistics(message.model, parse_version(message.version))
        return {"type": "statistics", "model_stats": [statistics_form(each) for each in found]}

    # ---- inference -------------------------------------------------------------------------------------------------

    def _infer(self, message: dm.Infer, frames: list[Data]) -> Asked:
        arrival_ns = now_ns()
        server = self._server
        server.check_running()
        model = server.model(message.model, parse_version(message.version))
        request, pieces, block_bytes = parse(model.spec, message, frames, server.core.regions, self._regions.client)
        asked = Asked(
            model,
            request,
            make_plan(model.spec, request),
            {output.name: output for output in message.outputs},
            tuple(
                (tensor.start, entry.frame)
                for tensor, entry in zip(request.inputs, message.inputs, strict=True)
                if entry.frame is not None
            ),
            block_bytes,
        )
        starts = [(tensor.start, piece) for tensor, piece in zip(request.inputs, pieces, strict=True) if piece]
        self._submit(asked, message.id, arrival_ns, starts)
        return asked

    def _repeat(self, asked: Asked, number: int, frames: list[Data]) -> None:
        """A request like one before."""
        arrival_ns = now_ns()
        try:
            self._server.check_running()
            self._submit(asked, number, arrival_ns, [(start, frames[frame]) for start, frame in asked.frames])
        except TisError as error:
            self._refuse(number, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one message is that message's answer
            _log.exception("a message of a direct client failed")
            self._refuse(number, internal(f"{type(error).__name__}: {error}"))

    def _submit(self, asked: Asked, number: int, arrival_ns: int, pieces: list[tuple[int, Data]]) -> None:
        """Send a request off, with the bytes of its tensors at their starts in its block."""
        core = self._server.core
        deliver: Deliver = partial(self._answered, number, asked)
        trace = core.tracer.sample(asked.model.spec, "ZMQ", arrival_ns) if core.tracer is not None else None
        if trace is not None:
            deliver = partial(_traced, trace, deliver)
        block = core.place(asked.model.spec, asked.block_bytes)
        try:
            for start, piece in pieces:
                core.writable(block, start, len(piece))[:] = piece
            self._requests[number] = core.submit(asked.plan, asked.request.client_id, block, arrival_ns, deliver, trace)
        except Exception:
            core.discard(block)
            raise

    def _answered(self, number: int, asked: Asked, answer: Answer) -> None:
        core = self._server.core
        request_id = self._requests.get(number, 0)
        if answer.final:
            self._requests.pop(number, None)
        try:
            if answer.error is not None:
                self._fail(number, answer.error, final=answer.final, running=answer.still_runs)
                if answer.still_runs:
                    core.when_over(request_id, partial(self._say, dm.Over(number)))
                return
            self._reply(number, asked, answer)
        except TisError as error:
            self._fail(number, error, final=answer.final)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one answer is that answer's text
            _log.exception("an answer could not be written")
            self._fail(number, internal(f"{type(error).__name__}: {error}"), final=answer.final)
        finally:
            core.release(answer)

    def _reply(self, number: int, asked: Asked, answer: Answer) -> None:
        if self._has_ended:
            return
        request = asked.request
        if request.classification:
            classify(asked.model, answer, request.classification)
        outputs: list[dm.ReplyOutput] = []
        parts: list[bytes | memoryview] = []
        for tensor in answer.outputs:
            if tensor.placed:
                place = asked.outputs[tensor.name]
                output = dm.ReplyOutput(
                    tensor.name, tensor.datatype, tensor.shape, tensor.placed_bytes, None, place.region, place.offset
                )
            else:
                output = dm.ReplyOutput(tensor.name, tensor.datatype, tensor.shape, len(tensor.data), len(parts))
                parts.append(tensor.data)
            outputs.append(output)
        reply = dm.Reply(
            number,
            request.model,
            str(request.version),
            request.client_id,
            answer.final,
            answer.is_empty,
            outputs,
            answer.parameters,
        )
        self._send(reply, parts)

    def _cancel(self, number: int) -> None:
        request_id = self._requests.pop(number, 0)
        if not request_id:
            return
        core = self._server.core
        core.cancel(request_id)
        self._fail(number, TisError(Code.CANCELLED, "the request has been cancelled"), running=True)
        core.when_over(request_id, partial(self._say, dm.Over(number)))

    # ---- answers ---------------------------------------------------------------------------------------------------

    def _call(self, number: int, work: Awaitable[dict[str, Any]]) -> None:
        self._calls[number] = asyncio.ensure_future(self._finish(number, work))

    async def _finish(self, number: int, work: Awaitable[dict[str, Any]]) -> None:
        try:
            answer = await work
        except TisError as error:
            self._calls.pop(number, None)
            self._fail(number, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with one call is that call's answer
            _log.exception("a call of a direct client failed")
            self._calls.pop(number, None)
            self._fail(number, internal(f"{type(error).__name__}: {error}"))
        else:
            self._calls.pop(number, None)
            self._say({**answer, "id": number})

    def _refuse(self, number: int, error: TisError) -> None:
        """A message is nothing that is begun with."""
        self._fail(number, error)

    def _say(self, message: Any) -> None:
        if not self._has_ended:
            self._send(message, [])

    def _fail(self, number: int, error: TisError, *, final: bool = True, running: bool = False) -> None:
        self._say(dm.Error(number, error.code, error.message, final, running))


def _traced(trace: Observed, deliver: Deliver, answer: Answer) -> None:
    trace.sending()
    deliver(answer)
    if answer.final:
        trace.sent()
