"""The client for programs without asyncio: one request at a time."""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from tis.client.conversation import Conversation, Prepared, Steps
from tis.client.errors import ClientError, ConnectionLostError, InferenceError, RefusedError
from tis.client.lines import Line, open_line
from tis.client.messages import Answer, Call, Head, UnknownConnectionError, checked, is_over, packed, unpacked
from tis.client.result import Result
from tis.client.tensors import Array

#: How long after a failed greeting the next one is.
_RETRY_S: Final = 0.05

_T = TypeVar("_T")


class Client:
    """A connection to a server's `--zmq-address`. It belongs to one thread at a time; close it, or use it with `with`."""

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

        Raises:
            ConnectionLostError: no server answers in time, or it does not know this client's key.
            OSError, ValueError: a key cannot be read.
        """
        self._timeout_s: Final = timeout_s
        self._connect_timeout_s: Final = connect_timeout_s
        self._conversation: Final = Conversation(name)
        #: Requests that nobody waits for any more, but which may still touch their memory.
        self._left: dict[int, Prepared] = {}
        self._line: Line | None = open_line(address, connect_timeout_s, key_file, server_key_file)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    # ---- asking ----------------------------------------------------------------------------------------------------

    def infer(
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
        for attempt in (0, 1):
            prepared = self._run(
                lambda: self._conversation.prepare(model, inputs, outputs, version, request_id, parameters)
            )
            try:
                return self._only_response(prepared)
            except UnknownConnectionError:
                if attempt:
                    raise
                self._greet()
        raise AssertionError("the second attempt returns or raises")

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Array] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Generator[Result, None, None]:
        """The responses of a model, none, one or many, as they come. Raises as `infer`.

        Leaving the loop early cancels the rest.
        """
        for attempt in (0, 1):
            prepared = self._run(
                lambda: self._conversation.prepare(model, inputs, outputs, version, request_id, parameters)
            )
            try:
                yield from self._responses(prepared)
                return
            except UnknownConnectionError:
                if attempt:
                    raise
                self._greet()

    def metadata(self, model: str = "", version: str = "") -> Head:
        """What a model is, or the server for an empty name. Raises as `infer`."""
        return self._run(lambda: self._conversation.ask("metadata", model=model, version=version))

    def statistics(self, model: str = "", version: str = "") -> list[Head]:
        """Statistics of a model's versions, or of all models. Raises as `infer`."""
        head = self._run(lambda: self._conversation.ask("statistics", model=model, version=version))
        found: list[Head] = head["model_stats"]
        return found

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """An array for an input, in shared memory where there is any: it is handed over without a copy."""
        return self._run(lambda: self._conversation.empty(shape, dtype))

    # ---- ending ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Disconnect: what runs is cancelled. Arrays that are still there stay what they are."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
            self._conversation.memory.forget()
            self._left.clear()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the conversation ------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        end_s = time.monotonic() + self._connect_timeout_s
        while True:
            self._left.clear()
            try:
                self._drive(self._conversation.hello(), max(0.0, end_s - time.monotonic()))
            except ConnectionLostError as error:
                # A server that has just been there may be there again soon.
                if isinstance(error, RefusedError) or time.monotonic() >= end_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _run(self, make: Callable[[], Steps[_T]]) -> _T:
        """Go through steps; from the beginning where the server had to be greeted anew."""
        try:
            return self._drive(make(), self._timeout_s)
        except UnknownConnectionError:
            self._greet()
            return self._drive(make(), self._timeout_s)

    def _responses(self, prepared: Prepared) -> Generator[Result, None, None]:
        number = prepared.call.head["id"]
        is_open = True
        try:
            self._send(prepared.call)
            while is_open:
                answer = self._await(number)
                is_open = not is_over(answer.head)
                head = checked(answer).head
                if not head["empty"]:
                    yield self._conversation.result(prepared, answer)
        except InferenceError:
            self._conversation.forget_model(prepared.call.head["model"])
            raise
        finally:
            if is_open and self._line is not None:
                self._leave(prepared)

    def _only_response(self, prepared: Prepared) -> Result:
        """The same as `_responses` for one, which is asked for so often that a generator would be felt."""
        model, number = prepared.call.head["model"], prepared.call.head["id"]
        is_open = True
        try:
            self._send(prepared.call)
            answer = self._await(number)
            is_open = not is_over(answer.head)
            head = checked(answer).head
            if head["empty"]:
                raise ClientError(f"model '{model}' gave no response; ask it with stream()")
            if not head["final"]:
                raise ClientError(f"model '{model}' may give several responses; ask it with stream()")
            return self._conversation.result(prepared, answer)
        except InferenceError:
            self._conversation.forget_model(model)
            raise
        finally:
            if is_open and self._line is not None:
                self._leave(prepared)

    def _leave(self, prepared: Prepared) -> None:
        """Nobody waits for a request any more."""
        number = prepared.call.head["id"]
        self._left[number] = prepared
        # Where the connection has ended, so has the request.
        with contextlib.suppress(ConnectionLostError):
            self._send(Call({"type": "cancel", "id": number}))

    def _drive(self, steps: Steps[_T], timeout_s: float | None) -> _T:
        try:
            call = next(steps)
            while True:
                self._send(call)
                try:
                    answer = checked(self._await(call.head.get("id", 0), timeout_s))
                except InferenceError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as done:
            value: _T = done.value
            return value

    def _send(self, call: Call) -> None:
        self._opened().send(packed(call))

    def _await(self, number: int, timeout_s: float | None = None) -> Answer:
        """The next message about a request or call; 0: the answer to a hello."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            frames = self._opened().receive(None if end_s is None else max(0.0, end_s - time.monotonic()))
            if frames is None:
                raise ConnectionLostError(f"the server did not answer within {timeout_s:g} s")
            answer = unpacked(frames)
            found = answer.head.get("id", 0)
            if found in self._left:
                if is_over(answer.head):
                    del self._left[found]
            elif found == number:
                return answer

    def _opened(self) -> Line:
        if self._line is None:
            raise ConnectionLostError("the client has been closed")
        return self._line
