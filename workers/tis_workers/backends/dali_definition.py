"""What a serialized DALI pipeline says of itself: inputs, outputs and the largest batch. Reads bytes, runs nothing.

DALI's Python interface does not list a pipeline's inputs. The serialized form is a protobuf message, of which the few fields
that are needed here are read; the others are skipped.

    pipeline: 2 batch size, 5 operators, 7 outputs
    operator: 1 kind, 4 arguments, 5 name
    argument: 1 name, 4 integer
    output:   1 name, 5 datatype, 6 dimensions
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tis.errors import Code, TisError, unsupported

#: Datatypes by DALI's numbers.
DATATYPES: Final = (
    *("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BOOL"),
)
_EXTERNAL: Final = "ExternalSource"
#: Operators that take a request apart and answer it bit by bit.
_STREAMS: Final = "inputs__"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGN: Final = 1 << 63

#: Fields of a message, by number, as they come.
_Fields = Iterator[tuple[int, int | bytes]]


@dataclass(frozen=True, slots=True)
class PipelineTensor:
    """An input or output as the pipeline declares it."""

    name: str
    #: Empty where the pipeline does not say.
    datatype: str
    #: Dimensions of a sample; None where the pipeline does not say.
    rank: int | None


@dataclass(frozen=True, slots=True)
class PipelineDefinition:
    """What there is to know of a pipeline before it is built."""

    batch_size: int
    inputs: tuple[PipelineTensor, ...]
    outputs: tuple[PipelineTensor, ...]


def definition_of(serialized: bytes, name: str) -> PipelineDefinition:
    """Read a serialized pipeline.

    Raises:
        TisError: UNKNOWN, as for all that DALI refuses, where these are no pipeline's bytes; UNSUPPORTED for a pipeline that
            answers a request bit by bit.
    """
    batch_size = 0
    inputs: list[PipelineTensor] = []
    outputs: list[PipelineTensor] = []
    try:
        for number, value in _fields(serialized):
            if number == 2 and isinstance(value, int):
                batch_size = _signed(value)
            elif number == 5 and isinstance(value, bytes):
                inputs += _input(value, name)
            elif number == 7 and isinstance(value, bytes):
                outputs.append(_output(value))
    except (IndexError, ValueError) as error:
        raise _no_pipeline(name) from error
    if not outputs:
        raise _no_pipeline(name)
    return PipelineDefinition(batch_size, tuple(inputs), tuple(outputs))


def _no_pipeline(name: str) -> TisError:
    return TisError(
        Code.UNKNOWN,
        f"DALI Backend error: Failed to load model file of model '{name}'. Please make sure that the model is properly "
        "serialized or can be properly serialized.",
    )


def _input(message: bytes, model: str) -> list[PipelineTensor]:
    """The input that an operator is; empty for any other operator."""
    kind = name = ""
    arguments: dict[str, int] = {}
    for number, value in _fields(message):
        if isinstance(value, bytes):
            if number == 1:
                kind = value.decode()
            elif number == 4:
                arguments |= _argument(value)
            elif number == 5:
                name = value.decode()
    if _STREAMS in kind:
        raise unsupported(
            f"unable to load model '{model}': its operator '{kind}' answers a request bit by bit, which this server does not "
            "do with DALI"
        )
    if kind != _EXTERNAL:
        return []
    rank = arguments.get("ndim", -1)
    return [PipelineTensor(name, _datatype(arguments.get("dtype", -1)), rank if rank >= 0 else None)]


def _argument(message: bytes) -> dict[str, int]:
    """An argument by its name, where it is an integer."""
    name, found = "", None
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 4 and isinstance(value, int):
            found = _signed(value)
    return {} if found is None else {name: found}


def _output(message: bytes) -> PipelineTensor:
    name, datatype, rank = "", -1, -1
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 5 and isinstance(value, int):
            datatype = _signed(value)
        elif number == 6 and isinstance(value, int):
            rank = _signed(value)
    return PipelineTensor(name, _datatype(datatype), rank if rank >= 0 else None)


def _datatype(number: int) -> str:
    return DATATYPES[number] if 0 <= number < len(DATATYPES) else ""


def _signed(number: int) -> int:
    return number - 2 * _SIGN if number >= _SIGN else number


def _fields(message: bytes) -> _Fields:
    """Number and value of every field; numbers and bytes, of which the length is checked.

    Raises:
        IndexError: the message ends too early.
        ValueError: it is none.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, form = tag >> 3, tag & 7
        if number == 0:
            raise ValueError
        if form == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if form == _BYTES:
            length, at = _varint(message, at)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(form, len(message) + 1)
        if at + length > len(message):
            raise ValueError
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where the next field begins."""
    found = shift = 0
    while True:
        byte = message[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
        shift += 7
        if shift > 63:
            raise ValueError
