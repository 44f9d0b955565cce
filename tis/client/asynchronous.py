"""The client for programs with asyncio: any number of requests in flight."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from tis.client.async_lines import AsyncLine, AsyncPlainLine, open_async_line
from tis.client.conversation import Conversation, Steps
from tis.client.errors import ClientError, ConnectionLostError, InferenceError, RefusedError
from tis.client.lines import is_plain
from tis.client.messages import Answer, Head, UnknownConnectionError, checked, is_over, packed
from tis.client.own_regions import AsyncSharedRegion, OwnMemory
from tis.client.requests import Prepared, Request
from tis.client.result import Result
from tis.client.tensors import Array

#: How long after a failed greeting the next one is.
_RETRY_S: Final = 0.05

_T = TypeVar("_T")


class _Inbox:
    """What has come about one request or call."""

    __slots__ = ("_answers", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answers: deque[Answer | ClientError] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, answer: Answer | ClientError) -> None:
        """An answer, or why there will be none."""
        self._answers.append(answer)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self, timeout_s: float | None) -> Answer:
        """The next answer.

        Raises:
            ConnectionLostError: there is none in time, or there will be none.
        """
        if not self._answers:
            waiter = self._waiter = self._loop.create_future()
            timer = None if timeout_s is None else self._loop.call_later(timeout_s, self._give_up, timeout_s)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        answer = self._answers.popleft()
        if isinstance(answer, ClientError):
            # Several may wait; each gets an error of its own.
            raise type(answer)(*answer.args)
        return answer

    def _give_up(self, timeout_s: float) -> None:
        if not self._answers:
            self.put(ConnectionLostError(f"the server did not answer within {timeout_s:g} s"))


class AsyncClient:
    """A connection to a server's `--zmq-address`; use it with `async with`."""

    def __init__(
        self,
        address: str,
        *,
        name: str = "",
        timeout_s: float | None = None,
        connect_timeout_s: float = 10.0,
        key_file: str | None = None,
        server_key_file: str | None = None,
    ) -> None:
        """`timeout_s`: how long an answer is waited for; None for ever, unless the connection ends.

        `key_file`, `server_key_file`: this client's secret key and the server's public one, where the server asks for keys.
        """
        self._key_files: Final = (key_file, server_key_file)
        self._address: Final = address
        self._timeout_s: Final = timeout_s
        self._connect_timeout_s: Final = connect_timeout_s
        self._conversation: Final = Conversation(name, is_plain=is_plain(address, *self._key_files))
        #: Who waits for messages about a request or call, by its number; 0: the answer to a hello.
        self._waiting: dict[int, _Inbox] = {}
        self._greeting: Final = asyncio.Lock()
        self._growing: Final = asyncio.Lock()
        self._greetings = 0
        self._line: AsyncLine | None = None
        #: The line, where messages may be written to it as they are.
        self._plain: AsyncPlainLine | None = None

    async def __aenter__(self) -> "AsyncClient":
        self._loop = asyncio.get_running_loop()
        line = open_async_line(self._address, self._connect_timeout_s, *self._key_files, self._hear, self._lose)
        self._line = line
        self._plain = line if isinstance(line, AsyncPlainLine) else None
        try:
            await self._greet(0)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect: what runs is cancelled. Arrays that are still there stay what they are."""
        line, self._line = self._line, None
        self._plain = None
        if line is None:
            return
        await line.close()
        self._lose(ConnectionLostError("the client has been closed"))
        self._conversation.end()

    # ---- asking ----------------------------------------------------------------------------------------------------

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Any] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a model and wait for its response. `outputs`: the names of those wanted; None for all.

        Or arrays or tensors by name that those wanted are to be put into; without a copy where they lie in memory of `empty`,
        `region` or `share`.

        Raises:
            InferenceError: the server's answer is an error.
            ConnectionLostError: there is no answer.
            TypeError: an input is nothing that a tensor can be made of.
        """
        request = Request(model, inputs, outputs, version, request_id, parameters)
        greetings = self._greetings
        try:
            return await self._only_response(await self._prepare(request))
        except UnknownConnectionError:
            await self._greet(greetings)
            return await self._only_response(await self._prepare(request))

    async def stream(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Any] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Result, None]:
        """The responses of a model, none, one or many, as they come. Raises as `infer`.

        Closing this early cancels the rest.
        """
        request = Request(model, inputs, outputs, version, request_id, parameters)
        for attempt in (0, 1):
            greetings = self._greetings
            prepared = await self._prepare(request)
            try:
                async with contextlib.aclosing(self._responses(prepared)) as responses:
                    async for result in responses:
                        yield result
                return
            except UnknownConnectionError:
                if attempt:
                    raise
                await self._greet(greetings)

    async def metadata(self, model: str = "", version: str = "") -> Head:
        """What a model is, or the server for an empty name. Raises as `infer`."""
        return await self._run(lambda: self._conversation.ask("metadata", model=model, version=version))

    async def statistics(self, model: str = "", version: str = "") -> list[Head]:
        """Statistics of a model's versions, or of all models. Raises as `infer`."""
        head = await self._run(lambda: self._conversation.ask("statistics", model=model, version=version))
        found: list[Head] = head["model_stats"]
        return found

    async def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """An array for an input, in shared memory where there is any: it is handed over without a copy."""
        async with self._growing:
            return await self._run(lambda: self._conversation.empty(shape, dtype))

    async def region(self, size_bytes: int) -> AsyncSharedRegion:
        """Memory of the program's own, new; see `Client.region`."""
        own = await self._run(lambda: self._conversation.make_region(size_bytes))
        return AsyncSharedRegion(own, self._give_back)

    async def share(self, memory: Any, key: str = "", *, offset: int = 0) -> AsyncSharedRegion:
        """Memory that the program has; see `Client.share`."""
        own = await self._run(lambda: self._conversation.share(memory, key, offset))
        return AsyncSharedRegion(own, self._give_back)

    # ---- the conversation ------------------------------------------------------------------------------------------

    async def _prepare(self, request: Request) -> Prepared:
        prepared = self._conversation.requests.prepared(request)
        if isinstance(prepared, Prepared):
            return prepared
        # Something has to be asked first: by one for all that wait for it.
        async with self._growing:
            return await self._run(lambda: self._conversation.prepare(request))

    async def _only_response(self, prepared: Prepared) -> Result:
        """The same as `_responses` for one, which is asked for so often that a generator would be felt."""
        inbox = self._waiting[prepared.number] = _Inbox(self._loop)
        is_open = True
        try:
            await self._ask(prepared)
            answer = await inbox.next(self._timeout_s)
            is_open = not is_over(answer.head)
            return self._conversation.only_response(prepared, answer)
        finally:
            self._done(prepared, is_open=is_open)

    async def _responses(self, prepared: Prepared) -> AsyncGenerator[Result, None]:
        inbox = self._waiting[prepared.number] = _Inbox(self._loop)
        is_open = True
        try:
            await self._ask(prepared)
            while is_open:
                answer = await inbox.next(self._timeout_s)
                is_open = not is_over(answer.head)
                result = self._conversation.response(prepared, answer)
                if result is not None:
                    yield result
        finally:
            self._done(prepared, is_open=is_open)

    def _done(self, prepared: Prepared, *, is_open: bool) -> None:
        """Nobody waits for a request any more. Nothing is awaited here: this may be the end of a task that is cancelled."""
        del self._waiting[prepared.number]
        if is_open and self._line is not None:
            self._line.post(packed(self._conversation.leave(prepared)))

    async def _greet(self, greetings: int) -> None:
        """Say hello, unless somebody else has since there were so many greetings."""
        async with self._greeting:
            if self._greetings != greetings:
                return
            end_s = self._loop.time() + self._connect_timeout_s
            while True:
                try:
                    await self._drive(self._conversation.hello(), max(0.0, end_s - self._loop.time()))
                except ConnectionLostError as error:
                    # A server that has just been there may be there again soon.
                    if isinstance(error, RefusedError) or self._loop.time() >= end_s:
                        raise
                    await asyncio.sleep(_RETRY_S)
                else:
                    break
            self._greetings += 1

    async def _run(self, make: Callable[[], Steps[_T]]) -> _T:
        """Go through steps; from the beginning where the server had to be greeted anew."""
        greetings = self._greetings
        try:
            return await self._drive(make(), self._timeout_s)
        except UnknownConnectionError:
            await self._greet(greetings)
            return await self._drive(make(), self._timeout_s)

    async def _give_back(self, own: OwnMemory) -> None:
        # What the server did not know, or knows no more, is given back already.
        with contextlib.suppress(UnknownConnectionError):
            await self._drive(self._conversation.give_back(own), self._timeout_s)

    async def _drive(self, steps: Steps[_T], timeout_s: float | None) -> _T:
        try:
            call = next(steps)
            while True:
                number = call.head.get("id", 0)
                inbox = self._waiting[number] = _Inbox(self._loop)
                try:
                    await self._opened().send(packed(call))
                    answer = checked(await inbox.next(timeout_s))
                except InferenceError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
                finally:
                    self._waiting.pop(number, None)
        except StopIteration as done:
            value: _T = done.value
            return value

    async def _ask(self, prepared: Prepared) -> None:
        if prepared.frames is not None:
            await self._opened().send([prepared.message, *prepared.frames])
        elif self._plain is not None:
            await self._plain.write(prepared.message, may_wait=len(self._waiting) > 1)
        else:
            self._opened()

    def _opened(self) -> AsyncLine:
        if self._line is None:
            raise ConnectionLostError("the client has been closed")
        return self._line

    def _hear(self, frames: list[Any]) -> None:
        try:
            answer = self._conversation.read(frames)
        except ClientError as error:
            # Whose answer it was is not to be known.
            for inbox in self._waiting.values():
                inbox.put(error)
            return
        inbox_of = self._waiting.get(answer.number)
        if inbox_of is not None:
            inbox_of.put(answer)
        else:
            self._conversation.is_left(answer)

    def _lose(self, error: ConnectionLostError) -> None:
        for number, inbox in self._waiting.items():
            # libzmq connects again by itself and then says what was to be said first.
            if number or self._plain is not None or self._line is None or isinstance(error, RefusedError):
                inbox.put(error)
