"""Infer messages over gRPC: good ones, and the same with wrong values or bytes."""

import random
from collections.abc import Callable
from typing import Any, Final

from tritonclient.grpc import service_pb2 as pb

from tools.fuzz.seeds import KEYS, MODELS, REGION, ROW, cut


class Messages:
    """Makes messages at random, the same ones for the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self.random: Final = rng
        self._templates: Final = [_good_message(range(16))[0], *_other_messages()]

    def good(self, name: str = "") -> tuple[bytes, bytes]:
        """A message and what its first output is."""
        message, answer = _good_message([self.random.randrange(1 << 20) for _ in range(16)])
        message.id = name
        data: bytes = message.SerializeToString()
        return data, answer

    def broken(self, *, parsable: bool = False) -> bytes:
        """A message with wrong values, or with bytes changed unless it has to be one that can be parsed."""
        rng = self.random
        message = pb.ModelInferRequest()
        message.CopyFrom(rng.choice(self._templates))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            rng.choice(_CHANGES)(message, rng)
        data: bytes = message.SerializeToString()
        return data if parsable or rng.randrange(2) else cut(rng, data)


def _message(model: str, inputs: list[tuple[str, str, list[int]]], raw: list[bytes]) -> Any:
    message = pb.ModelInferRequest(model_name=model, raw_input_contents=raw)
    for name, datatype, shape in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    return message


def _good_message(left: Any) -> tuple[Any, bytes]:
    pair = [(name, "INT32", [1, 16]) for name in ("INPUT0", "INPUT1")]
    message = _message("simple", pair, [ROW.pack(*left), ROW.pack(*range(16))])
    return message, ROW.pack(*(a + b for a, b in zip(left, range(16), strict=True)))


def _other_messages() -> list[Any]:
    placed = _message("simple", [(name, "INT32", [1, 16]) for name in ("INPUT0", "INPUT1")], [])
    for name in ("OUTPUT0", "OUTPUT1"):
        placed.outputs.add(name=name)
    for at, each in enumerate((*placed.inputs, *placed.outputs)):
        each.parameters["shared_memory_region"].string_param = REGION
        each.parameters["shared_memory_offset"].int64_param = at * 64
        each.parameters["shared_memory_byte_size"].int64_param = 64
    typed = _message("strings", [("INPUT0", "BYTES", [1, 2])], [])
    typed.inputs[0].contents.bytes_contents.extend([b"a", b"bc"])
    return [placed, typed, _message("id_fp32", [("INPUT0", "FP32", [3])], [bytes(12)])]


def _pick(message: Any, rng: random.Random) -> Any:
    """An input or output."""
    return (
        rng.choice([*message.inputs, *message.outputs]) if message.inputs or message.outputs else message.inputs.add()
    )


def _change_text(message: Any, rng: random.Random) -> None:
    texts = ["", "x", "INPUT0", "OUTPUT1", "BYTES", "FP32", "BF16", "é\0", "7", "1", "-1", "9" * 30, *MODELS]
    holder = rng.choice((message, *message.inputs, *message.outputs))
    names = ["model_name", "model_version", "id"] if holder is message else ["name"]
    setattr(holder, rng.choice([*names, "datatype"] if hasattr(holder, "datatype") else names), rng.choice(texts))


def _change_shape(message: Any, rng: random.Random) -> None:
    if message.inputs:
        dims = (0, 1, 2, 3, 16, -1, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63))
        rng.choice(message.inputs).shape[:] = [rng.choice(dims) for _ in range(rng.randrange(4))]


def _change_raw(message: Any, rng: random.Random) -> None:
    raw = message.raw_input_contents
    if raw and rng.randrange(3):
        at = rng.randrange(len(raw))
        raw[at] = rng.choice((b"", raw[at][:-1], raw[at] + b"x", raw[at] * 2, rng.randbytes(64)))
    elif raw and rng.randrange(2):
        del raw[0]
    else:
        raw.append(rng.randbytes(rng.randrange(70)))


def _change_contents(message: Any, rng: random.Random) -> None:
    if message.inputs:
        contents = rng.choice(message.inputs).contents
        name = rng.choice([field.name for field in contents.DESCRIPTOR.fields])
        values = [b"ab", b""] if name == "bytes_contents" else [True] if name == "bool_contents" else [1, 0, 3]
        getattr(contents, name).extend(values * rng.choice((0, 1, 8)))


def _change_parameter(message: Any, rng: random.Random) -> None:
    holder = message if rng.randrange(2) else _pick(message, rng)
    parameter = holder.parameters[rng.choice(KEYS)]
    match rng.randrange(6):
        case 0:
            parameter.bool_param = bool(rng.randrange(2))
        case 1:
            parameter.string_param = rng.choice(("", REGION, "nobody", "é"))
        case 2:
            parameter.double_param = rng.choice((0.5, float("nan"), -1e300))
        case 3:
            parameter.uint64_param = rng.choice((0, 1, (1 << 64) - 1))
        case 4:
            parameter.int64_param = rng.choice((0, 1, -1, 63, 64, 128, 200, 256, (1 << 63) - 1, -(1 << 63)))
        case _:
            parameter.Clear()


def _change_lists(message: Any, rng: random.Random) -> None:
    entries = rng.choice((message.inputs, message.outputs))
    if entries and rng.randrange(2):
        del entries[rng.randrange(len(entries))]
    elif entries:
        entries.add().CopyFrom(entries[0])
    else:
        entries.add(name=rng.choice(("OUTPUT0", "INPUT0", "")))


_CHANGES: Final[tuple[Callable[[Any, random.Random], None], ...]] = (
    *(_change_text, _change_shape, _change_raw, _change_contents, _change_parameter, _change_parameter, _change_lists),
)
