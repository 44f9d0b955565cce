"""A ModelInferRequest that has been checked, and its bytes taken apart so that one like it need not be checked again.

Clients send the same request with new tensors, and perhaps a new id, again and again. What is left of a message without
both is its key: a message of a known key means what the first one meant. Knows no transport.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tis.contracts.inference import Answer, InferRequest
from tis.contracts.plan import Plan
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.parameters import fill_parameters
from tis_frontend.grpc.wire import varint
from tis_frontend.model_table import ModelTable, ServedModel

_MOST_REMEMBERED: Final = 256
_LONGEST_REMEMBERED_BYTES: Final = 4096
#: Tags of ModelInferRequest: id (3) and raw_input_contents (7).
_ID: Final = 0x1A
_RAW_CONTENTS: Final = 0x3A
#: The tag of a ModelInferResponse's id.
_RESPONSE_ID: Final = b"\x1a"
_DELIMITED: Final = 2
_ONE_BYTE: Final = 0x7F


@dataclass(slots=True)
class PlannedInfer:
    """A checked request, without its id and its data."""

    model: ServedModel
    request: InferRequest
    plan: Plan
    #: Where in the block the data of each input go that lies in no region, in order.
    starts: tuple[int, ...]
    block_bytes: int
    #: The last response's outputs, and the message without id and data: what goes before the id, and behind it.
    rendered: tuple[list[Any], bytes, bytes] | None = None


class Pieces(NamedTuple):
    """A message taken apart."""

    #: All of it but the data and the id.
    key: bytes
    client_id: str
    #: The raw input contents, in order.
    data: list[memoryview]


def take_apart(message: bytes) -> Pieces | None:
    """The pieces of a message; None for one that is odd enough to be left to the protobuf library.

    The key keeps the sizes of data, so no two messages have the same that differ in more than data and id.
    """
    view = memoryview(message)
    at, end = 0, len(message)
    kept_from = 0
    kept: list[bytes] = []
    client_id = b""
    data: list[memoryview] = []
    while at < end - 1:
        tag, size = message[at], message[at + 1]
        if tag & 7 != _DELIMITED or tag > _ONE_BYTE:
            return None
        begin = at + 2
        if size > _ONE_BYTE:
            size &= _ONE_BYTE
            shift = 7
            while True:
                if begin == end or shift > 28:
                    return None
                byte = message[begin]
                begin += 1
                size |= (byte & _ONE_BYTE) << shift
                shift += 7
                if byte <= _ONE_BYTE:
                    break
        behind = begin + size
        if behind > end:
            return None
        if tag == _RAW_CONTENTS:
            kept.append(message[kept_from:begin])
            data.append(view[begin:behind])
            kept_from = behind
        elif tag == _ID:
            kept.append(message[kept_from:at])
            client_id = message[begin:behind]
            kept_from = behind
        at = behind
    if at != end:
        return None
    if kept_from < end:
        kept.append(message[kept_from:])
    try:
        return Pieces(kept[0] if len(kept) == 1 else b"".join(kept), client_id.decode(), data)
    except UnicodeDecodeError:
        return None


def remembered(table: ModelTable, key: Hashable) -> PlannedInfer | None:
    """What a message of this key was found to mean."""
    return table.remembered.get(key) or table.remembered_places.get(key)


def remember(table: ModelTable, key: Hashable, pieces: Pieces, planned: PlannedInfer, message: Any) -> None:
    """Keep what a message means, where all that may differ from it in the next one is left out of the key."""
    if len(pieces.key) > _LONGEST_REMEMBERED_BYTES or any(entry.HasField("contents") for entry in message.inputs):
        return
    memory = table.remembered_places if planned.plan.uses_regions else table.remembered
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[key] = planned


def response_head(planned: PlannedInfer, client_id: str, answer: Answer) -> bytes:
    """All of a ModelInferResponse but its data, which follow it in `raw_output_contents`."""
    form = [(tensor.name, tensor.datatype, tensor.shape) for tensor in answer.outputs]
    rendered = planned.rendered
    if rendered is None or rendered[0] != form or answer.parameters:
        rendered = _rendered(planned.request, form, answer)
        if not answer.parameters:
            planned.rendered = rendered
    _, before, behind = rendered
    if not client_id:
        return before + behind
    text = client_id.encode()
    return b"".join((before, _RESPONSE_ID, varint(len(text)), text, behind))


def _rendered(request: InferRequest, form: list[Any], answer: Answer) -> tuple[list[Any], bytes, bytes]:
    before = pb.ModelInferResponse(model_name=request.model, model_version=str(request.version))
    behind = pb.ModelInferResponse()
    if answer.parameters:
        fill_parameters(behind.parameters, answer.parameters)
    for name, datatype, shape in form:
        behind.outputs.add(name=name, datatype=datatype, shape=shape)
    return form, before.SerializeToString(), behind.SerializeToString()
