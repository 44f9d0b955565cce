"""The client for programs without asyncio: one request at a time."""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

from tis.client.conversation import Conversation, Steps
from tis.client.errors import ConnectionLostError, InferenceError, RefusedError
from tis.client.lines import Line, open_line
from tis.client.messages import Answer, Call, Head, UnknownConnectionError, checked, is_over, packed
from tis.client.own_regions import OwnMemory, SharedRegion
from tis.client.plain_line import PlainLine
from tis.client.requests import Prepared, Request
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
        spin_us: int | None = None,
    ) -> None:
        """`timeout_s`: how long an answer is waited for; None for ever, unless the connection ends.

        `key_file`, `server_key_file`: this client's secret key and the server's public one, where the server asks for keys.
        `spin_us`: how long at most to look for an answer before falling asleep over it; None: up to 300 where there are
        four cores or more. How long in fact is learnt from how long answers take. With keys nothing is looked for.

        Raises:
            ConnectionLostError: no server answers in time, or it does not know this client's key.
            OSError, ValueError: a key cannot be read.
            ValueError: `spin_us` is below 0.
        """
        self._timeout_s: Final = timeout_s
        self._connect_timeout_s: Final = connect_timeout_s
        self._line: Line | None = open_line(address, connect_timeout_s, key_file, server_key_file, spin_us)
        #: The line, where messages may be written to it as they are.
        self._plain: Final = self._line if isinstance(self._line, PlainLine) else None
        self._conversation: Final = Conversation(name, is_plain=self._plain is not None)
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
        prepared = self._prepare(request)
        try:
            return self._only_response(prepared)
        except UnknownConnectionError:
            self._greet()
            return self._only_response(self._prepare(request))

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | Mapping[str, Any] | None = None,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> Generator[Result, None, None]:
        """The responses of a model, none, one or many, as they come. Raises as `infer`.

        Leaving the loop early cancels the rest.
        """
        request = Request(model, inputs, outputs, version, request_id, parameters)
        try:
            yield from self._responses(self._prepare(request))
        except UnknownConnectionError:
            # It is the first answer: nothing has been yielded.
            self._greet()
            yield from self._responses(self._prepare(request))

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

    def region(self, size_bytes: int) -> SharedRegion:
        """Memory of the program's own, new: arrays and tensors in it are handed over as they are, until it is closed.

        Raises as `share`.
        """
        return SharedRegion(self._run(lambda: self._conversation.make_region(size_bytes)), self._give_back)

    def share(self, memory: Any, key: str = "", *, offset: int = 0) -> SharedRegion:
        """Memory that the program has: what lies in it is handed over as it is, until it is closed.

        `memory`: the name of a POSIX object; a `SharedMemory` of `multiprocessing`; or what is mapped, such as an `mmap`, of
        the object `key`, from its byte `offset` on. While it is shared, it cannot be unmapped, and must not be made smaller.

        Raises:
            FileNotFoundError: there is no such object.
            InferenceError: the server does not take it.
            OSError: there is no room for it, or it cannot be opened.
            ValueError: it is closed, or is not that of this name.
        """
        return SharedRegion(self._run(lambda: self._conversation.share(memory, key, offset)), self._give_back)

    # ---- ending ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Disconnect: what runs is cancelled. Arrays that are still there stay what they are."""
        line, self._line = self._line, None
        if line is not None:
            line.close()
            self._conversation.end()

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
            try:
                self._drive(self._conversation.hello(), max(0.0, end_s - time.monotonic()))
            except ConnectionLostError as error:
                # A server that has just been there may be there again soon.
                if isinstance(error, RefusedError) or time.monotonic() >= end_s:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _prepare(self, request: Request) -> Prepared:
        prepared = self._conversation.requests.prepared(request)
        if isinstance(prepared, Prepared):
            return prepared
        # Something has to be asked first.
        return self._run(lambda: self._conversation.prepare(request))

    def _run(self, make: Callable[[], Steps[_T]]) -> _T:
        """Go through steps; from the beginning where the server had to be greeted anew."""
        try:
            return self._drive(make(), self._timeout_s)
        except UnknownConnectionError:
            self._greet()
            return self._drive(make(), self._timeout_s)

    def _responses(self, prepared: Prepared) -> Generator[Result, None, None]:
        is_open = True
        try:
            self._ask(prepared)
            while is_open:
                answer = self._await(prepared.number)
                is_open = not is_over(answer.head)
                result = self._conversation.response(prepared, answer)
                if result is not None:
                    yield result
        finally:
            if is_open and self._line is not None:
                self._leave(prepared)

    def _only_response(self, prepared: Prepared) -> Result:
        """The same as `_responses` for one, which is asked for so often that a generator would be felt."""
        is_open = True
        try:
            self._ask(prepared)
            answer = self._await(prepared.number)
            is_open = not is_over(answer.head)
            return self._conversation.only_response(prepared, answer)
        finally:
            if is_open and self._line is not None:
                self._leave(prepared)

    def _leave(self, prepared: Prepared) -> None:
        """Nobody waits for a request any more."""
        # Where the connection has ended, so has the request.
        with contextlib.suppress(ConnectionLostError):
            self._send(self._conversation.leave(prepared))

    def _give_back(self, own: OwnMemory) -> None:
        # What the server did not know, or knows no more, is given back already.
        with contextlib.suppress(UnknownConnectionError):
            self._drive(self._conversation.give_back(own), self._timeout_s)

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

    def _ask(self, prepared: Prepared) -> None:
        if prepared.frames is not None:
            self._opened().send([prepared.message, *prepared.frames])
        elif self._line is not None and self._plain is not None:
            self._plain.write(prepared.message)
        else:
            self._opened()

    def _send(self, call: Call) -> None:
        self._opened().send(packed(call))

    def _await(self, number: int, timeout_s: float | None = None) -> Answer:
        """The next message about a request or call; 0: the answer to a hello."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        conversation = self._conversation
        while True:
            frames = self._opened().receive(None if end_s is None else max(0.0, end_s - time.monotonic()))
            if frames is None:
                raise ConnectionLostError(f"the server did not answer within {timeout_s:g} s")
            answer = conversation.read(frames)
            if answer.number == number:
                return answer
            conversation.is_left(answer)

    def _opened(self) -> Line:
        if self._line is None:
            raise ConnectionLostError("the client has been closed")
        return self._line
