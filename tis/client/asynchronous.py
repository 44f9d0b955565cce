"""The client for programs with asyncio: any number of requests in flight."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

import zmq
import zmq.asyncio

from tis.client.conversation import Conversation, Prepared, Steps
from tis.client.errors import ClientError, ConnectionLostError, InferenceError
from tis.client.keys import EVENTS, check_refusal, use_keys
from tis.client.messages import Answer, Call, Head, UnknownConnectionError, checked, is_over, packed, unpacked
from tis.client.result import Result
from tis.client.tensors import Array

_T = TypeVar("_T")
_Heard = asyncio.Queue[Answer | None]


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
        self._conversation: Final = Conversation(name)
        #: Who waits for messages about a request or call, by its number; 0: the answer to a hello.
        self._waiting: dict[int, _Heard] = {}
        #: Requests that nobody waits for any more, but which may still touch their memory.
        self._left: dict[int, Prepared] = {}
        self._greeting = asyncio.Lock()
        self._greetings = 0
        self._context: zmq.asyncio.Context | None = None
        self._tasks: list[asyncio.Task[None]] = []
        #: Why the server does not let this client in.
        self._refusal: ConnectionLostError | None = None

    async def __aenter__(self) -> "AsyncClient":
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(EVENTS)
        try:
            use_keys(self._socket, *self._key_files)
            self._socket.connect(self._address)
            self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._watch())]
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
        context, self._context = self._context, None
        if context is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        context.term()
        self._lose()
        self._conversation.memory.forget()
        self._left.clear()

    # ---- asking ----------------------------------------------------------------------------------------------------

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Array] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a model and wait for its response. `outputs`: the names of those wanted; None for all.

        Or arrays by name that those wanted are to be put into; without a copy where `empty` has made them.

        Raises:
            InferenceError: the server's answer is an error.
            ConnectionLostError: there is no answer.
            TypeError: an input is nothing that a tensor can be made of.
        """
        responses = self.stream(
            model, inputs, outputs=outputs, version=version, request_id=request_id, parameters=parameters
        )
        async with contextlib.aclosing(responses):
            async for result in responses:
                if not result.is_final:
                    raise ClientError(f"model '{model}' may give several responses; ask it with stream()")
                return result
        raise ClientError(f"model '{model}' gave no response; ask it with stream()")

    async def stream(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Array] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Result, None]:
        """The responses of a model, none, one or many, as they come. Raises as `infer`.

        Closing this early cancels the rest.
        """
        for attempt in (0, 1):
            prepared = await self._run(
                lambda: self._conversation.prepare(model, inputs, outputs, version, request_id, parameters)
            )
            greetings = self._greetings
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
        return await self._run(lambda: self._conversation.empty(shape, dtype))

    # ---- the conversation ------------------------------------------------------------------------------------------

    async def _responses(self, prepared: Prepared) -> AsyncGenerator[Result, None]:
        number = prepared.call.head["id"]
        heard = self._waiting[number] = asyncio.Queue()
        is_open = True
        try:
            await self._send(prepared.call)
            while is_open:
                answer = await self._next(heard, self._timeout_s)
                is_open = not is_over(answer.head)
                head = checked(answer).head
                if not head["empty"]:
                    yield self._conversation.result(prepared, answer)
        except InferenceError:
            self._conversation.forget_model(prepared.call.head["model"])
            raise
        finally:
            del self._waiting[number]
            if is_open and self._context is not None:
                self._left[number] = prepared
                # Nothing is awaited here: this may be the end of a task that is cancelled.
                asyncio.ensure_future(self._send(Call({"type": "cancel", "id": number})))  # noqa: RUF006

    async def _greet(self, greetings: int) -> None:
        """Say hello, unless somebody else has since there were so many greetings."""
        async with self._greeting:
            if self._greetings == greetings:
                self._left.clear()
                await self._drive(self._conversation.hello(), self._connect_timeout_s)
                self._greetings += 1

    async def _run(self, make: Callable[[], Steps[_T]]) -> _T:
        """Go through steps; from the beginning where the server had to be greeted anew."""
        greetings = self._greetings
        try:
            return await self._drive(make(), self._timeout_s)
        except UnknownConnectionError:
            await self._greet(greetings)
            return await self._drive(make(), self._timeout_s)

    async def _drive(self, steps: Steps[_T], timeout_s: float | None) -> _T:
        try:
            call = next(steps)
            while True:
                number = call.head.get("id", 0)
                heard = self._waiting[number] = asyncio.Queue()
                try:
                    await self._send(call)
                    answer = checked(await self._next(heard, timeout_s))
                except InferenceError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
                finally:
                    self._waiting.pop(number, None)
        except StopIteration as done:
            value: _T = done.value
            return value

    async def _send(self, call: Call) -> None:
        await self._socket.send_multipart(packed(call))

    async def _next(self, heard: _Heard, timeout_s: float | None) -> Answer:
        try:
            answer = await asyncio.wait_for(heard.get(), timeout_s)
        except TimeoutError:
            raise ConnectionLostError(f"the server did not answer within {timeout_s:g} s") from None
        if answer is None and self._refusal is not None:
            raise self._refusal
        if answer is None:
            raise ConnectionLostError("the connection to the server has ended")
        return answer

    async def _listen(self) -> None:
        while True:
            answer = unpacked(await self._socket.recv_multipart())
            number = answer.head.get("id", 0)
            heard = self._waiting.get(number)
            if heard is not None:
                heard.put_nowait(answer)
            elif number in self._left and is_over(answer.head):
                del self._left[number]

    async def _watch(self) -> None:
        while True:
            event = await self._monitor.recv_multipart()
            try:
                check_refusal(event)
            except ConnectionLostError as error:
                self._refusal = error
                self._lose()
                continue
            # What had come before the end is read first.
            await asyncio.sleep(0)
            self._lose(but_hello=True)

    def _lose(self, *, but_hello: bool = False) -> None:
        for number, heard in self._waiting.items():
            if number or not but_hello:
                heard.put_nowait(None)
