"""What a client says and hears, step by step, without a socket: the synchronous and the asyncio client both drive it.

A step is a generator: it yields a `Call`, is sent the answer, and returns what the caller wants. So the order of things is
written once, and who waits for an answer, and how, is up to the client.
"""

from collections.abc import Generator, Mapping, Sequence
from itertools import count
from math import prod
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from tis.client.errors import ClientError, InferenceError
from tis.client.memory import Block, Memory, Region
from tis.client.messages import Answer, Call, Head
from tis.client.result import Result
from tis.client.tensors import DTYPES, Array, as_array, decode, encode_bytes

VERSION: Final = 1
#: Tensors of fewer bytes travel in messages: that costs less than their places.
INLINE_BYTES: Final = 4096
_NONE: Final[Mapping[str, Any]] = {}

_T = TypeVar("_T")

Steps = Generator[Call, Answer, _T]


class Prepared(NamedTuple):
    """A request ready to be sent, and what it needs until it has ended."""

    call: Call
    held: list[Any]
    #: The places given to outputs, by name.
    places: "dict[str, Block | _Given]"
    #: The arrays that outputs are to be put into which came in messages.
    targets: dict[str, Array]


class _Given:
    """An array of the program's own that an output is written to."""

    def __init__(self, array: Array) -> None:
        self.bytes: Final[Array] = array.reshape(-1).view(np.uint8)


class Conversation:
    """One connection's state."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ids = count(1)
        self.memory: Final = Memory()
        self._limits: dict[str, int] = {}
        self._metadata: dict[tuple[str, str], Head] = {}
        #: How large outputs of no fixed shape have been, by model, version and name.
        self._seen_bytes: dict[tuple[str, str, str], int] = {}

    # ---- the connection --------------------------------------------------------------------------------------------

    def hello(self) -> Steps[None]:
        """The first words, also after the server was restarted: nothing of before holds."""
        self.memory.forget()
        self._metadata.clear()
        welcome = yield Call({"type": "hello", "version": VERSION, "client": self._name})
        if welcome.head["type"] != "welcome":
            raise ClientError(f"the server answered the hello by a message of the type '{welcome.head['type']}'")
        self._limits = welcome.head["limits"]
        if not welcome.head["shared_memory"]:
            self.memory.works = False

    def ask(self, kind: str, **keys: Any) -> Steps[Head]:
        """A call that is answered by a head."""
        answer = yield Call({"type": kind, "id": next(self._ids), **keys})
        return {key: value for key, value in answer.head.items() if key not in ("type", "id")}

    # ---- memory ----------------------------------------------------------------------------------------------------

    def take(self, size_bytes: int) -> Steps[Block | None]:
        """A block of shared memory; None where there is none to be had."""
        if not self.memory.works:
            return None
        block = self.memory.take(size_bytes)
        if block is not None:
            return block
        if len(self.memory.regions) >= self._limits["regions"]:
            return None
        wished = self.memory.wished_bytes(size_bytes, self._limits["region_bytes"])
        try:
            granted = yield Call({"type": "grant", "id": next(self._ids), "size": wished})
        except InferenceError:
            return None
        head = granted.head
        try:
            region = Region(head["region"], head["path"], head["size"], (head["device"], head["inode"]))
        except OSError:
            # Another user's process, or one in a container of its own.
            self.memory.works = False
            yield Call({"type": "release", "id": next(self._ids), "region": head["region"]})
            return None
        self.memory.add(region)
        return self.memory.take(size_bytes)

    def empty(self, shape: Sequence[int], dtype: Any) -> Steps[Array]:
        """An array in shared memory where there is any."""
        dtype = np.dtype(dtype)
        size_bytes = prod(shape) * dtype.itemsize
        block = yield from self.take(size_bytes)
        if block is None:
            return np.empty(shape, dtype)
        array: Array = block.bytes[:size_bytes].view(dtype).reshape(tuple(shape))
        return array

    # ---- inference -------------------------------------------------------------------------------------------------

    def prepare(
        self,
        model: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] | Mapping[str, Array] | None,
        version: str,
        request_id: str,
        parameters: Mapping[str, Any] | None,
    ) -> Steps[Prepared]:
        """A request with its tensors where they are to be."""
        about = self._metadata.get((model, version))
        if about is None:
            about = yield from self.ask("metadata", model=model, version=version)
            self._metadata[model, version] = about
        held: list[Any] = []
        frames: list[Any] = []
        entries: list[Head] = []
        shapes: dict[str, tuple[int, ...]] = {}
        for name, value in inputs.items():
            array, datatype = as_array(name, value)
            shapes[name] = array.shape
            entry: Head = {"name": name, "datatype": datatype, "shape": list(array.shape)}
            if datatype == "BYTES":
                array = np.frombuffer(encode_bytes(array), np.uint8)
            yield from self._place(entry, array, held, frames)
            entries.append(entry)
        head: Head = {"type": "infer", "id": next(self._ids), "model": model, "inputs": entries}
        if version:
            head["version"] = version
        if request_id:
            head["request_id"] = request_id
        if parameters:
            head["parameters"] = dict(parameters)
        wanted, places = yield from self._outputs(model, version, about, outputs, shapes)
        if wanted:
            head["outputs"] = wanted
        targets: dict[str, Array] = {}
        if outputs is not None and isinstance(outputs, Mapping):
            targets = {name: array for name, array in outputs.items() if name not in places}
        return Prepared(Call(head, frames), held, places, targets)

    def result(self, prepared: Prepared, answer: Answer) -> Result:
        """The response of a request, whose arrays are views of where they came."""
        arrays: dict[str, Array] = {}
        head = prepared.call.head
        for output in answer.head["outputs"]:
            name, size_bytes = output["name"], output["size"]
            if "region" in output:
                data: Any = prepared.places[name].bytes[:size_bytes]
            else:
                data = memoryview(answer.frames[output["frame"]])
            arrays[name] = (
                _array(data, output)
                if "region" in output and output["datatype"] != "BYTES"
                else decode(data, output["datatype"], output["shape"])
            )
            if name in prepared.targets:
                arrays[name] = _put(arrays[name], prepared.targets[name])
            key = (head["model"], head.get("version", ""), name)
            if size_bytes > self._seen_bytes.get(key, 0):
                self._seen_bytes[key] = size_bytes
        return Result(answer.head, arrays)

    def forget_model(self, model: str) -> None:
        """What is known of a model may not be so any more."""
        for key in [key for key in self._metadata if key[0] == model]:
            del self._metadata[key]

    def _place(self, entry: Head, array: Array, held: list[Any], frames: list[Any]) -> Steps[None]:
        """Say where an input's bytes are, and put them there if need be."""
        size_bytes = array.nbytes
        where = self.memory.holding(array) if size_bytes else None
        if where is not None:
            held.append(array)
            entry.update(region=where[0].name, offset=where[1], size=size_bytes)
            return
        if size_bytes < INLINE_BYTES:
            entry["data"] = array.tobytes()
            return
        block = yield from self.take(size_bytes)
        if block is None:
            entry["frame"] = len(frames)
            frames.append(array.data.cast("B") if array.ndim else array.tobytes())
            return
        block.bytes[:size_bytes] = array.reshape(-1).view(np.uint8)
        held.append(block)
        entry.update(region=block.region.name, offset=block.start, size=size_bytes)

    def _outputs(
        self,
        model: str,
        version: str,
        about: Head,
        names: Sequence[str] | Mapping[str, Array] | None,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> Steps[tuple[list[Head], dict[str, Block | _Given]]]:
        """The outputs to ask for, with places for those that are large and come once."""
        wanted: list[Head] = []
        places: dict[str, Block | _Given] = {}
        batch = next(iter(shapes.values()))[:1] if shapes and about["max_batch_size"] else ()
        for tensor in about["outputs"]:
            name = tensor["name"]
            if names is not None and name not in names:
                continue
            entry: Head = {"name": name}
            wanted.append(entry)
            if names is not None and isinstance(names, Mapping):
                where = self._place_of(name, names[name])
                if where is not None:
                    places[name] = _Given(names[name])
                    entry.update(region=where[0].name, offset=where[1], size=names[name].nbytes)
                continue
            if about["decoupled"]:
                # Each response would overwrite the one before.
                continue
            shape = [*batch, *tensor["shape"][len(batch) :]]
            if -1 in shape or tensor["datatype"] not in DTYPES:
                size_bytes = self._seen_bytes.get((model, version, name), 0)
            else:
                size_bytes = prod(shape) * DTYPES[tensor["datatype"]].itemsize
            if size_bytes < INLINE_BYTES:
                continue
            block = yield from self.take(size_bytes)
            if block is not None:
                places[name] = block
                entry.update(region=block.region.name, offset=block.start, size=block.size_bytes, spill=True)
        if names is None:
            return (wanted if places else []), places
        known = {tensor["name"] for tensor in about["outputs"]}
        # The server has the words for those that the model does not have.
        wanted += [{"name": name} for name in names if name not in known]
        return wanted, places

    def _place_of(self, name: str, array: Array) -> tuple[Region, int] | None:
        """Where an array for an output lies; None where it is none of shared memory.

        Raises:
            TypeError: nothing can be written to it as it lies.
        """
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise TypeError(f"output '{name}' is to go to what is no contiguous array that may be written to")
        return self.memory.holding(array) if array.nbytes else None


def _put(came: Array, target: Array) -> Array:
    """The beginning of the program's array, with what has come; Raises: ValueError: it does not fit."""
    if came.dtype != target.dtype or came.size > target.size:
        raise ValueError(f"an output of {came.size} x {came.dtype} does not fit {target.size} x {target.dtype}")
    view: Array = target.reshape(-1)[: came.size].reshape(came.shape)
    np.copyto(view, came)
    return view


def _array(data: Array, output: Head) -> Array:
    return data.view(DTYPES[output["datatype"]]).reshape(output["shape"])
