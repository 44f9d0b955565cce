"""What a program asks a model, as a message: where each tensor is, or is put, and which places outputs are given.

Nothing here waits: where something has to be asked of the server first, `prepared` says what, and is called again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import msgpack
import numpy as np

from tis.client.memory import Memory
from tis.client.messages import Head
from tis.client.result import Place, Result
from tis.client.template import Blank, Template
from tis.client.tensors import DATATYPES, DTYPES, Array, as_array, as_target, encode_bytes
from tis.client.zmtp import JOINED_BYTES

#: Tensors of fewer bytes travel in messages: that costs less than their places.
INLINE_BYTES: Final = 4096
#: Messages that are kept packed.
_MOST_TEMPLATES: Final = 256
#: Frames that a message surely may have.
_MOST_SMALL_FRAMES: Final = 64


class Request(NamedTuple):
    """What a program asks."""

    model: str
    inputs: Mapping[str, Any]
    #: The names of the outputs wanted, or arrays for them by name; None for all.
    outputs: Sequence[str] | Mapping[str, Any] | None
    version: str
    request_id: str
    parameters: Mapping[str, Any] | None


class Prepared:
    """A request ready to be sent, and what it needs until it has ended."""

    __slots__ = ("frames", "held", "message", "model", "number", "places", "targets", "version")

    def __init__(
        self, number: int, model: str, version: str, message: bytes, frames: Sequence[Any] | None, draft: "_Draft"
    ) -> None:
        self.number = number
        self.model = model
        self.version = version
        #: The whole message where there are no `frames`, else its head.
        self.message = message
        self.frames = frames
        self.held = draft.held
        #: The places given to outputs, by name.
        self.places = draft.places
        #: The arrays that outputs are to be put into which come in messages.
        self.targets = draft.targets


class Need(NamedTuple):
    """What is missing: knowledge of a model, or so many bytes of shared memory in one piece."""

    size_bytes: int = 0


class _Draft:
    """A message that is being made: all that it says but for its blanks, and their values."""

    __slots__ = ("batch", "frames", "held", "inputs", "is_unique", "outputs", "places", "targets", "values")

    def __init__(self) -> None:
        #: Name, datatype, shape, size and region of each input, one after another; None for a frame, or the bytes themselves.
        self.inputs: list[Any] = []
        #: Name, region, size and whether what is larger comes in a message, of each output that is asked for.
        self.outputs: list[Any] = []
        self.values: list[int] = []
        self.frames: list[Any] = []
        self.held: list[Any] = []
        self.places: dict[str, Place] = {}
        self.targets: dict[str, Array] = {}
        #: The first dimension of the first input.
        self.batch: tuple[int, ...] = ()
        #: True where such a message will not come again.
        self.is_unique = False


class Requests:
    """What one connection has learnt about the requests that it is asked for."""

    def __init__(self, memory: Memory, next_id: Callable[[], int], *, is_plain: bool) -> None:
        """`is_plain`: see `Template`."""
        self._memory: Final = memory
        self._next_id: Final = next_id
        self._is_plain: Final = is_plain
        self._metadata: dict[tuple[str, str], Head] = {}
        #: How large outputs of no fixed shape have been, by model, version and name.
        self._seen_bytes: dict[tuple[str, str, str], int] = {}
        #: The outputs of requests without places for them: names, and how much room each is given, 0 for none.
        self._rooms: dict[Any, tuple[tuple[str, int], ...]] = {}
        self._templates: dict[tuple[Any, ...], Template] = {}

    def learn(self, model: str, version: str, about: Head) -> None:
        """The server has told what a model is."""
        self._metadata[model, version] = about

    def forget(self) -> None:
        """Nothing of before holds."""
        self._metadata.clear()
        self._rooms.clear()
        self._templates.clear()

    def forget_model(self, model: str) -> None:
        """What is known of a model may not be so any more."""
        for key in [key for key in self._metadata if key[0] == model]:
            del self._metadata[key]
        self._rooms.clear()

    def prepared(self, request: Request, *, may_grow: bool = True) -> "Prepared | Need":
        """A request with its tensors where they are to be, or what is missing for that.

        `may_grow`: False where no more shared memory is to be had.

        Raises:
            TypeError: an input is nothing that a tensor can be made of, or an output cannot be written to.
        """
        model, version, outputs = request.model, request.version, request.outputs
        about = self._metadata.get((model, version))
        if about is None:
            return _KNOWLEDGE
        may_grow = may_grow and self._memory.works
        draft = _Draft()
        missing_bytes = self._put_inputs(draft, request.inputs, may_grow=may_grow)
        if not missing_bytes:
            if isinstance(outputs, Mapping):
                self._put_targets(draft, outputs)
            else:
                missing_bytes = self._put_outputs(draft, request, about, may_grow=may_grow)
        if missing_bytes:
            return Need(missing_bytes)
        number = self._next_id()
        draft.values.append(number)
        template = self._template(request, draft)
        message = template.filled(draft.values, draft.frames)
        return Prepared(number, model, version, message, None if template.is_whole else draft.frames, draft)

    def result(self, prepared: Prepared, head: Head, frames: Sequence[Any]) -> Result:
        """The response of a request, whose arrays are views of where they came."""
        for name, output in head["outputs"].items():
            if "region" not in output:
                key = (prepared.model, prepared.version, name)
                if output["size"] > self._seen_bytes.get(key, 0):
                    self._seen_bytes[key] = output["size"]
                    self._rooms.clear()
        return Result(head, frames, prepared.places, prepared.targets)

    # ---- tensors ---------------------------------------------------------------------------------------------------

    def _put_inputs(self, draft: _Draft, inputs: Mapping[str, Any], *, may_grow: bool) -> int:
        """Say where inputs' bytes are, and put them there if need be; gives how many there is no block for, or 0."""
        memory, values = self._memory, draft.values
        for name, array in inputs.items():
            datatype = ""
            if type(array) is np.ndarray and array.flags.c_contiguous:
                datatype = DATATYPES.get(array.dtype, "")
            if not datatype:
                array, datatype = as_array(name, array)
            shape = array.shape
            if not draft.inputs:
                draft.batch = shape[:1]
            if datatype == "BYTES":
                array = np.frombuffer(encode_bytes(array), np.uint8)
            size_bytes: int = array.nbytes
            region: str | bytes | None = None
            where = memory.holding(array) if size_bytes else None
            if where is not None:
                draft.held.append(array)
                region = where[0].name
                values.append(where[1])
            elif size_bytes < INLINE_BYTES and len(draft.frames) >= _MOST_SMALL_FRAMES:
                region, draft.is_unique = array.tobytes(), True
            elif size_bytes < INLINE_BYTES:
                draft.frames.append(array.tobytes())
            elif (block := memory.take(size_bytes)) is None:
                if may_grow:
                    return size_bytes
                draft.frames.append(array.tobytes() if size_bytes <= JOINED_BYTES else array.data.cast("B"))
            else:
                block.fill(array)
                draft.held.append(block)
                region = block.region.name
                values.append(block.start)
            draft.inputs += (name, datatype, shape, size_bytes, region)
        return 0

    def _put_targets(self, draft: _Draft, outputs: Mapping[str, Any]) -> None:
        """Arrays of the program's that outputs are to be put into."""
        for name, target in outputs.items():
            array = as_target(name, target)
            where = self._memory.holding(array) if array.nbytes else None
            if where is None:
                draft.targets[name] = array
                draft.outputs += (name, None, 0, False)
            else:
                draft.places[name] = array
                draft.outputs += (name, where[0].name, array.nbytes, False)
                draft.values.append(where[1])

    def _put_outputs(self, draft: _Draft, request: Request, about: Head, *, may_grow: bool) -> int:
        """Room for outputs that are large and come once; gives how many bytes there is no block for, or 0."""
        names = request.outputs
        key = (request.model, request.version, draft.batch, names if names is None else tuple(names))
        rooms = self._rooms.get(key)
        if rooms is None:
            if len(self._rooms) >= _MOST_TEMPLATES:
                self._rooms.clear()
            rooms = self._rooms[key] = self._rooms_of(request, about, draft.batch)
        has_room = False
        for name, size_bytes in rooms:
            block = self._memory.take(size_bytes) if size_bytes else None
            if block is None:
                if size_bytes and may_grow:
                    return size_bytes
                draft.outputs += (name, None, 0, False)
                continue
            has_room = True
            draft.places[name] = block
            # What is larger comes in a message.
            draft.outputs += (name, block.region.name, block.size_bytes, True)
            draft.values.append(block.start)
        if names is None and not has_room:
            draft.outputs.clear()
        return 0

    def _rooms_of(self, request: Request, about: Head, batch: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
        batch = batch if about["max_batch_size"] else ()
        rooms: dict[str, int] = {}
        for tensor in about["outputs"]:
            name, shape = tensor["name"], [*batch, *tensor["shape"][len(batch) :]]
            if -1 in shape or tensor["datatype"] not in DTYPES:
                size_bytes = self._seen_bytes.get((request.model, request.version, name), 0)
            else:
                size_bytes = prod(shape) * DTYPES[tensor["datatype"]].itemsize
            # Each response of a decoupled model would overwrite the one before.
            rooms[name] = 0 if about["decoupled"] or size_bytes < INLINE_BYTES else size_bytes
        # The server has the words for those that the model does not have.
        return tuple((name, rooms.get(name, 0)) for name in (rooms if request.outputs is None else request.outputs))

    # ---- the message -----------------------------------------------------------------------------------------------

    def _template(self, request: Request, draft: _Draft) -> Template:
        parameters = msgpack.packb(dict(request.parameters)) if request.parameters else b""
        if draft.is_unique or request.request_id:
            return self._made(request, draft)
        key = (request.model, request.version, parameters, *draft.inputs, None, *draft.outputs)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            template = self._templates[key] = self._made(request, draft)
        return template

    def _made(self, request: Request, draft: _Draft) -> Template:
        blanks: list[Blank] = []
        frame_sizes: list[int] = []
        inputs: list[Head] = []
        for name, datatype, shape, size_bytes, region in _groups(draft.inputs, 5):
            entry: Head = {"name": name, "datatype": datatype, "shape": list(shape)}
            if region is None:
                entry["frame"] = len(frame_sizes)
                frame_sizes.append(size_bytes)
            elif isinstance(region, bytes):
                entry["data"] = region
            else:
                entry.update(region=region, offset=_blank(blanks), size=size_bytes)
            inputs.append(entry)
        outputs: list[Head] = []
        for name, region, size_bytes, spills in _groups(draft.outputs, 4):
            outputs.append({"name": name})
            if region is not None:
                outputs[-1].update(region=region, offset=_blank(blanks), size=size_bytes, spill=spills)
        head: Head = {"type": "infer", "model": request.model, "inputs": inputs}
        if request.version:
            head["version"] = request.version
        if request.request_id:
            head["request_id"] = request.request_id
        if request.parameters:
            head["parameters"] = dict(request.parameters)
        if outputs:
            head["outputs"] = outputs
        head["id"] = _blank(blanks)
        return Template(head, blanks, frame_sizes, is_plain=self._is_plain)


def _blank(blanks: list[Blank]) -> int:
    blanks.append(Blank())
    return blanks[-1].value


def _groups(facts: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(facts)] * size, strict=True)


_KNOWLEDGE: Final = Need()
