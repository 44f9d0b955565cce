"""One infer call on a connection: its body goes into the pool as it arrives, its answer leaves from there.

Takes the place of uvicorn's request-response cycle for the infer route (see `protocol.py`), so it has the fields that
uvicorn's protocol looks at in a cycle.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tis.contracts.inference import Answer
from tis.errors import TisError, internal, invalid, unsupported
from tis.log import get_logger
from tis_frontend.classification import classify
from tis_frontend.core import Core, Place, now_ns
from tis_frontend.http import compression, infer_request, infer_response, sizes
from tis_frontend.http.header_forwarding import with_headers
from tis_frontend.http.status import STATUS, STATUS_LINES, error_body
from tis_frontend.model_table import ModelTable, ServedModel
from tis_frontend.observer import Observed

_JOIN_BELOW_BYTES: Final = 32 << 10
#: What is compressed or decompressed at once; more is done in a thread, so that others need not wait.
_INLINE_BYTES: Final = 4 << 10
_HEADER_LENGTH: Final = b"inference-header-content-length"
_LENGTH_BYTES: Final = 4
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain"

_log = get_logger(__name__)


class _NoEvent:
    """Stands where uvicorn expects the event that wakes an ASGI application; there is none."""

    def set(self) -> None:
        return


class InferCall:
    """A POST on the infer route, from its headers to its response."""

    message_event: Final = _NoEvent()

    def __init__(
        self,
        core: Core,
        table: ModelTable,
        transport: asyncio.Transport,
        keep_alive: bool,
        written: Callable[[Answer], None],
        on_response: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        most_bytes: int,
        forwarded: list[tuple[str, str]] | None = None,
    ) -> None:
        # What uvicorn's protocol reads and writes in a cycle.
        self.response_complete = False
        self.more_body = True
        self.keep_alive = keep_alive
        self._disconnected = False
        # Shared with the connection.
        self._core = core
        self._table = table
        self._transport = transport
        self._written = written
        self._on_response = on_response
        self._loop = loop
        self._most_bytes = most_bytes
        self._forwarded = forwarded
        self._arrival_ns = now_ns()
        self._model: ServedModel | None = None
        self._wanted: tuple[str, int | None] = ("", None)
        self._error: TisError | None = None
        self._call: infer_request.HttpInfer | None = None
        self._block: Place | None = None
        self._head_left = -1  # JSON bytes still to come; -1 while the whole body is collected
        self._head = bytearray()
        self._tail_at = 0
        self._tail_bytes = 0
        self._has_header_length = False
        self._compressed = False
        self._accept = b""
        self._request_id = 0
        self._started = False
        self._trace: Observed | None = None
        self.received_bytes = 0  # of the body, used or not
        self.content_bytes = 0  # as its head says
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def disconnected(self) -> bool:
        """True once the client has gone."""
        return self._disconnected

    @disconnected.setter
    def disconnected(self, gone: bool) -> None:
        self._disconnected = gone
        if gone and not self.response_complete:
            self.response_complete = True
            if self._request_id:
                self._core.cancel(self._request_id)
            elif self._block is not None:
                self._core.discard(self._block)
                self._block = None

    @property
    def collected_bytes(self) -> int:
        """How much of the body is held outside of the pool."""
        return len(self._head)

    # ---- the request -----------------------------------------------------------------------------------------------

    def begin(self, name: str, version: int | None, headers: list[tuple[bytes, bytes]]) -> None:
        """The headers are in: find the model and make room for the tensors."""
        self._headers = headers
        content_bytes = -1
        header_text: bytes | None = None
        encoding: bytes | None = None
        for key, value in headers:
            if key == b"content-length":
                content_bytes = self.content_bytes = int(value)
            elif key == _HEADER_LENGTH:
                header_text = value
            elif key == b"content-encoding":
                encoding = value
            elif key == b"accept-encoding":
                self._accept = value
        try:
            self._wanted = (name, version)
            self._model = model = self._table.find(name, version)
            if model.spec.decoupled:
                raise unsupported("HTTP end point doesn't support models with decoupled transaction policy")
            if encoding is not None and compression.is_compressed(encoding):
                # The sizes in the headers say nothing of the content's.
                self._compressed = True
                content_bytes = -1
            if header_text is not None:
                self._has_header_length = True
                self._begin_binary(sizes.header_length(header_text), content_bytes)
            elif content_bytes > self._most_bytes:
                raise sizes.json_too_large(content_bytes, self._most_bytes)
        except TisError as error:
            self._error = error

    def _begin_binary(self, head_bytes: int, content_bytes: int) -> None:
        if content_bytes < 0:
            # Chunked: the size of the tail is known at the end only.
            self._tail_bytes = -head_bytes - 1
            return
        if head_bytes > content_bytes:
            raise sizes.header_out_of_range(head_bytes, content_bytes)
        self._head_left = head_bytes
        self._take_tail(head_bytes, content_bytes - head_bytes)

    def _take_tail(self, head_bytes: int, data_bytes: int) -> None:
        """Make room for the data behind the JSON. Without JSON they are the one input; a string then needs its length."""
        if head_bytes > self._most_bytes:
            raise sizes.json_too_large(head_bytes, self._most_bytes)
        length_bytes = 0
        if not head_bytes:
            if data_bytes > self._most_bytes:
                raise sizes.raw_too_large(data_bytes, self._most_bytes)
            if self._model is not None and infer_request.takes_raw_string(self._model.spec):
                length_bytes = _LENGTH_BYTES
        self._tail_bytes = data_bytes + length_bytes
        self._block = self._place(self._tail_bytes)
        if length_bytes:
            self._core.writable(self._block, 0, length_bytes)[:] = (data_bytes & 0xFFFFFFFF).to_bytes(4, "little")
        self._tail_at = length_bytes

    def _place(self, size_bytes: int) -> Place:
        return self._core.take(size_bytes) if self._model is None else self._core.place(self._model.spec, size_bytes)

    def feed(self, body: bytes) -> None:
        """A piece of the body."""
        self.received_bytes += len(body)
        if self._error is not None:
            return
        if self._head_left < 0:
            self._head += body
            if len(self._head) > self._most_bytes:
                self._check_collected()
            return
        head_bytes = self._head_left
        if head_bytes:
            head = body[:head_bytes]
            self._head += head
            self._head_left -= len(head)
        size_bytes = len(body) - head_bytes
        if size_bytes > 0 and self._block is not None:
            self._core.writable(self._block, self._tail_at, size_bytes)[:] = memoryview(body)[head_bytes:]
            self._tail_at += size_bytes

    def _check_collected(self) -> None:
        """A body of unknown size is collected: stop where it can be of no use any more."""
        collected = len(self._head)
        if self._compressed:
            # What cannot be compressed grows a little.
            if collected > self._most_bytes + self._most_bytes // 1024 + 1024:
                self._error = compression.too_large(self._most_bytes)
        elif not self._has_header_length:
            self._error = sizes.json_too_large(collected, self._most_bytes)
        elif collected > self._most_bytes + self._core.capacity_bytes:
            self._error = invalid(f"the request's body is larger than {collected - 1} bytes")
        if self._error is not None:
            self._head = bytearray()

    def finish(self) -> None:
        """The body is complete. If it is this call's turn to answer, submit it."""
        self.more_body = False
        if self._started:
            self._submit()

    def start(self) -> None:
        """It is this call's turn: everything before it on the connection has been answered."""
        self._started = True
        if not self.more_body:
            self._submit()

    def _submit(self) -> None:
        if self._compressed and self._error is None:
            if len(self._head) <= _INLINE_BYTES:
                try:
                    self._head = compression.decompressed(self._head, self._most_bytes)
                except TisError as error:
                    self._error = error
            else:
                task = self._loop.run_in_executor(None, compression.decompressed, self._head, self._most_bytes)
                task.add_done_callback(self._on_decompressed)
                return
        self._submit_content()

    def _on_decompressed(self, task: "asyncio.Future[bytearray]") -> None:
        error = task.exception()
        if self.response_complete:
            return
        if error is None:
            self._head = task.result()
        else:
            self._error = error if isinstance(error, TisError) else internal(f"{type(error).__name__}: {error}")
        self._submit_content()

    def _submit_content(self) -> None:
        """The body is there as the client meant it."""
        content_type = _TEXT
        try:
            if self._error is not None:
                raise self._error
            model = self._model
            if model is None:
                raise internal("an infer call without a model")
            if not model.is_current:
                model = self._model = self._table.find(*self._wanted)
            if self._head_left < 0 and self._has_header_length:
                self._split_collected()
            # What is wrong from here on has been looked at as a request: Triton labels its errors by that.
            content_type = _JSON
            if not self._head and not self._has_header_length:
                # An empty body is a raw binary request of no bytes, as in Triton.
                self._take_tail(0, 0)
            if self._core.tracer is not None:
                self._trace = self._core.tracer.sample(model.spec, "HTTP", self._arrival_ns, self._headers)
            call = infer_request.planned(model, bytes(self._head), self._tail_bytes, self._core.regions)
            plan = call.plan
            if plan is None:
                raise internal("a call without a plan")
            if self._forwarded:
                plan = replace(plan, parameters=with_headers(plan.parameters, self._forwarded))
            self._place_json(call)
            self._call = call
            block = self._block
            if block is None:
                block = self._block = self._place(0)
            self._request_id = self._core.submit(
                plan, call.request.client_id, block, self._arrival_ns, self._deliver, self._trace
            )
            # It is the core's now.
            self._block = None
        except TisError as error:
            self._fail(error, content_type)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("an infer call failed")
            self._fail(internal(f"{type(error).__name__}: {error}"), content_type)

    def _split_collected(self) -> None:
        """A chunked body has been collected whole: cut it into header and tail."""
        head_bytes = -self._tail_bytes - 1
        body = self._head
        if head_bytes > len(body):
            raise sizes.header_out_of_range(head_bytes, len(body))
        data_bytes = len(body) - head_bytes
        self._take_tail(head_bytes, data_bytes)
        if self._block is not None:
            self._core.writable(self._block, self._tail_at, data_bytes)[:] = memoryview(body)[head_bytes:]
        self._head = body[:head_bytes]

    def _place_json(self, call: infer_request.HttpInfer) -> None:
        """Put tensors that came as JSON into the block, behind the binary ones if there are any."""
        if not call.json_data:
            return
        for tensor, data in call.json_data:
            if len(data) > self._most_bytes:
                raise sizes.tensor_too_large(tensor.name, len(data), self._most_bytes)
        block = self._place(call.block_bytes)
        if self._block is not None:
            if self._tail_bytes:
                tail = self._core.writable(self._block, 0, self._tail_bytes)
                self._core.writable(block, 0, self._tail_bytes)[:] = tail
            self._core.discard(self._block)
        self._block = block
        for tensor, data in call.json_data:
            self._core.writable(block, tensor.start, len(data))[:] = data

    # ---- the response ----------------------------------------------------------------------------------------------

    def _deliver(self, answer: Answer) -> None:
        self._request_id = 0
        call = self._call
        if answer.error is not None or call is None or self._model is None:
            self._core.release(answer)
            self._fail(answer.error or internal("an answer without a call"), _TEXT)
            return
        try:
            if call.request.classification:
                classify(self._model, answer, call.request.classification)
            headers, text, blobs = infer_response.render(call, answer)
        except TisError as error:
            self._core.release(answer)
            self._fail(error, _TEXT)
            return
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one call is that call's answer
            _log.exception("an answer could not be written")
            self._core.release(answer)
            self._fail(internal(f"{type(error).__name__}: {error}"), _TEXT)
            return
        if self._accept:
            encoding = compression.chosen(self._accept)
            if encoding:
                self._compress(answer, headers, [text, *blobs], encoding)
                return
        self._respond(answer, headers, text, blobs)

    def _compress(self, answer: Answer, headers: bytes, parts: list[bytes | memoryview], encoding: bytes) -> None:
        headers += b"Content-Encoding: %s\r\n" % encoding
        if sum(map(len, parts)) <= _INLINE_BYTES:
            self._respond(answer, headers, compression.compressed(parts, encoding), [])
            return

        def done(task: "asyncio.Future[bytes]") -> None:
            if self.response_complete:
                # The client has gone meanwhile.
                self._core.release(answer)
            elif task.exception() is not None:
                self._core.release(answer)
                self._fail(internal(f"the response cannot be compressed: {task.exception()}"), _TEXT)
            else:
                self._respond(answer, headers, task.result(), [])

        self._loop.run_in_executor(None, compression.compressed, parts, encoding).add_done_callback(done)

    def _respond(self, answer: Answer, headers: bytes, text: bytes, blobs: list[memoryview]) -> None:
        if self._trace is not None:
            self._trace.sending()
        size_bytes = len(text) + sum(map(len, blobs))
        start = b"%s%sContent-Length: %d\r\n%s\r\n" % (STATUS_LINES[200], headers, size_bytes, self._connection())
        if size_bytes < _JOIN_BELOW_BYTES:
            self._transport.write(b"".join((start, text, *blobs)))
            self._core.release(answer)
        else:
            self._transport.writelines([start + text, *blobs])
            self._written(answer)
        self._complete()

    def _fail(self, error: TisError, content_type: bytes) -> None:
        if self._block is not None:
            self._core.discard(self._block)
            self._block = None
        body = error_body(error)
        status = STATUS[error.code]
        extra = b"Accept-Encoding: gzip, deflate\r\n" if error.message == compression.UNSUPPORTED else b""
        self._transport.write(
            b"%sContent-Type: %s\r\n%sContent-Length: %d\r\n%s\r\n%s"
            % (STATUS_LINES[status], content_type, extra, len(body), self._connection(), body)
        )
        self._complete()

    def _connection(self) -> bytes:
        return b"" if self.keep_alive else b"Connection: close\r\n"

    def _complete(self) -> None:
        self.response_complete = True
        # The connection keeps its last call until the next one comes.
        self._head, self._call = bytearray(), None
        if self._trace is not None:
            self._trace.sent()
        if not self.keep_alive:
            self._transport.close()
        self._on_response()
