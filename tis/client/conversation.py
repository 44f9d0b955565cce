"""What a client says and hears, step by step, without a socket: the synchronous and the asyncio client both drive it.

A step is a generator: it yields a `Call`, is sent the answer, and returns what the caller wants. So the order of things is
written once, and who waits for an answer, and how, is up to the client.
"""

from collections.abc import Generator, Sequence
from itertools import count
from math import prod
from typing import Any, Final, TypeVar

import numpy as np

from tis.client.errors import ClientError, InferenceError
from tis.client.memory import Memory, Region
from tis.client.messages import Answer, Call, Head, Reader, checked, is_over
from tis.client.own_regions import OwnMemory, found, made
from tis.client.requests import Prepared, Request, Requests
from tis.client.result import Result
from tis.client.tensors import Array

VERSION: Final = 1

_T = TypeVar("_T")

Steps = Generator[Call, Answer, _T]


class Conversation:
    """One connection's state."""

    def __init__(self, name: str, *, is_plain: bool) -> None:
        """`is_plain`: requests are wanted as they are on the wire, see `Template`."""
        self._name = name
        self._ids = count(1)
        self.memory: Final = Memory()
        self.requests: Final = Requests(self.memory, self._ids.__next__, is_plain=is_plain)
        self._limits: dict[str, int] = {}
        #: The program's own memory that has been registered once.
        self._own: list[OwnMemory] = []
        #: Requests that nobody waits for any more, but which may still touch their memory.
        self.left: Final[dict[int, Prepared]] = {}
        self.read: Final = Reader().read

    # ---- the connection --------------------------------------------------------------------------------------------

    def hello(self) -> Steps[None]:
        """The first words, also after the server was restarted: nothing of before holds."""
        self.memory.forget()
        self.requests.forget()
        self.left.clear()
        for own in self._own:
            own.is_registered = False
        welcome = yield Call({"type": "hello", "version": VERSION, "client": self._name})
        if welcome.head["type"] != "welcome":
            raise ClientError(f"the server answered the hello by a message of the type '{welcome.head['type']}'")
        self._limits = welcome.head["limits"]
        if not welcome.head["shared_memory"]:
            self.memory.works = False
        for own in self._own:
            try:
                yield from self._register(own)
            except InferenceError:
                # Its object has lost its name meanwhile, say. What lies in it is copied from now on.
                continue

    def end(self) -> None:
        """The connection is closed. Arrays that are still there stay what they are."""
        self.memory.forget()
        self.left.clear()
        for own in self._own:
            own.let_go()
        self._own.clear()

    def ask(self, kind: str, **keys: Any) -> Steps[Head]:
        """A call that is answered by a head."""
        answer = yield Call({"type": kind, "id": next(self._ids), **keys})
        return {key: value for key, value in answer.head.items() if key not in ("type", "id")}

    # ---- memory ----------------------------------------------------------------------------------------------------

    def empty(self, shape: Sequence[int], dtype: Any) -> Steps[Array]:
        """An array in shared memory where there is any."""
        dtype, shape = np.dtype(dtype), tuple(shape)
        size_bytes = prod(shape) * dtype.itemsize
        block = self.memory.take(size_bytes) if self.memory.works else None
        if block is None and (yield from self._grant(size_bytes)):
            block = self.memory.take(size_bytes)
        return np.empty(shape, dtype) if block is None else block.array(shape, dtype)

    def make_region(self, size_bytes: int) -> Steps[OwnMemory]:
        """New memory, without a name that could stay.

        Raises:
            InferenceError: the server does not take it.
            OSError: there is no room for it.
        """
        own = made(self._own_name(), size_bytes)
        try:
            yield from self._register(own)
        except InferenceError as error:
            own.let_go()
            if error.code != "UNSUPPORTED":
                raise
            # The server cannot tell over TCP whose descriptor is meant. It has memory itself, which a restarted one has not.
            region = yield from self._granted(size_bytes)
            own = OwnMemory(region.name, region.map, "", 0)
            own.is_registered = True
            self.memory.know(own)
        self._own.append(own)
        return own

    def share(self, memory: Any, key: str, offset: int) -> Steps[OwnMemory]:
        """Memory that the program has. Raises as `found`, and InferenceError where the server does not take it."""
        own = found(self._own_name(), memory, key, offset)
        yield from self._register(own)
        self._own.append(own)
        return own

    def give_back(self, own: OwnMemory) -> Steps[None]:
        """The server is to forget memory of the program's own."""
        is_known = own.is_registered
        self.memory.drop(own)
        self._own = [each for each in self._own if each is not own]
        own.let_go()
        if is_known:
            yield Call({"type": "release", "id": next(self._ids), "region": own.name})

    def _own_name(self) -> str:
        return f"own-{next(self._ids)}"

    def _register(self, own: OwnMemory) -> Steps[None]:
        about = {"region": own.name, "key": own.key, "offset": own.offset, "size": own.size_bytes}
        yield Call({"type": "register", "id": next(self._ids), **about})
        own.is_registered = True
        self.memory.know(own)

    def _grant(self, size_bytes: int) -> Steps[bool]:
        """Have the server grant a region with room for so many bytes; False where there is none to be had."""
        if not self.memory.works or len(self.memory.regions) >= self._limits["regions"]:
            return False
        wished = self.memory.wished_bytes(size_bytes, self._limits["region_bytes"])
        try:
            region = yield from self._granted(wished)
        except InferenceError:
            return False
        except OSError:
            # Another user's process, or one in a container of its own.
            self.memory.works = False
            return False
        self.memory.add(region)
        return True

    def _granted(self, size_bytes: int) -> Steps[Region]:
        """A region that the server grants. Raises InferenceError: it does not; OSError: it cannot be opened here."""
        granted = yield Call({"type": "grant", "id": next(self._ids), "size": size_bytes})
        head = granted.head
        try:
            return Region(head["region"], head["path"], head["size"], (head["device"], head["inode"]))
        except OSError:
            yield Call({"type": "release", "id": next(self._ids), "region": head["region"]})
            raise

    # ---- inference -------------------------------------------------------------------------------------------------

    def prepare(self, request: Request) -> Steps[Prepared]:
        """A request with its tensors where they are to be."""
        may_grow = True
        while True:
            prepared = self.requests.prepared(request, may_grow=may_grow)
            if isinstance(prepared, Prepared):
                return prepared
            if prepared.size_bytes:
                may_grow = yield from self._grant(prepared.size_bytes)
            else:
                about = yield from self.ask("metadata", model=request.model, version=request.version)
                self.requests.learn(request.model, request.version, about)

    def response(self, prepared: Prepared, answer: Answer) -> Result | None:
        """What an answer to a request says; None where it is only the news that there are no more.

        Raises:
            InferenceError, UnknownConnectionError: it is an error.
        """
        try:
            head, frames, _ = checked(answer)
        except InferenceError:
            self.requests.forget_model(prepared.model)
            raise
        return None if head["empty"] else self.requests.result(prepared, head, frames)

    def only_response(self, prepared: Prepared, answer: Answer) -> Result:
        """The same where there is to be one response. Raises also ClientError: there is none, or more."""
        result = self.response(prepared, answer)
        if result is None:
            raise ClientError(f"model '{prepared.model}' gave no response; ask it with stream()")
        if not result.is_final:
            raise ClientError(f"model '{prepared.model}' may give several responses; ask it with stream()")
        return result

    def leave(self, prepared: Prepared) -> Call:
        """Nobody waits for a request any more; gives what the server is to be told."""
        self.left[prepared.number] = prepared
        return Call({"type": "cancel", "id": prepared.number})

    def is_left(self, answer: Answer) -> bool:
        """True for an answer to a request that nobody waits for."""
        if answer.number not in self.left:
            return False
        if is_over(answer.head):
            del self.left[answer.number]
        return True
