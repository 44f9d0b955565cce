"""Rejections of what a config asks for beyond Triton (see `tis.config.extensions`), once inputs and outputs are complete."""

from math import isfinite
from typing import Final

from tis.config.extensions import (
    BOOLEANS,
    BUCKETS,
    COVERS,
    EXECUTION_LIMIT,
    GOAL,
    KNOWN,
    LOAD_LIMIT,
    MEMORY_LIMIT,
    PAD_INPUTS,
    SLICED,
    as_seconds,
    as_value,
    entries,
    given,
    is_number,
    pad_entries,
)
from tis.config.proto import Message, enum_name
from tis.config.spreading import PARAMETER as PLACEMENT
from tis.config.spreading import WORDS as PLACEMENTS
from tis.contracts.datatypes import ELEMENT_BYTES, from_config
from tis.environments.wish import PYTHON, REQUIREMENTS, wish_of
from tis.errors import TisError, invalid

#: Backends that get requests one by one, whose tensors the server does not put together.
_TAKE_REQUESTS: Final = frozenset({"python"})
_LARGEST: Final = {"FP16": 65504.0, "BF16": 3.3895313892515355e38, "FP32": 3.4028234663852886e38}


def check_extensions(config: Message) -> None:
    """Rejects extensions that are unknown, cannot be read, or cannot work with the rest of the config.

    Raises:
        TisError: INVALID_ARG, naming the parameter, what it should hold and what it holds.
    """
    texts = given(config)
    for key in texts:
        if key not in KNOWN:
            raise invalid(f"unknown parameter '{key}' for {config.name}; those of this server are {', '.join(KNOWN)}")
    covers = texts.get(COVERS, "")
    if covers.lower() not in BOOLEANS:
        raise _fault(config, COVERS, "true or false", covers)
    if not is_number(texts.get(GOAL, "0")):
        raise _fault(config, GOAL, "a number of microseconds", texts[GOAL])
    for key in (LOAD_LIMIT, EXECUTION_LIMIT):
        if key in texts and as_seconds(texts[key]) is None:
            raise _fault(config, key, "a number of seconds", texts[key])
    if not is_number(texts.get(MEMORY_LIMIT, "0")):
        raise _fault(config, MEMORY_LIMIT, "a number of bytes", texts[MEMORY_LIMIT])
    for key in (LOAD_LIMIT, EXECUTION_LIMIT, MEMORY_LIMIT):
        if key in texts and config.HasField("ensemble_scheduling"):
            raise invalid(
                f"parameter '{key}' of {config.name} cannot be used with an ensemble; give it to the models of its steps"
            )
    for key in (REQUIREMENTS, PYTHON):
        if key in texts and config.backend != "python" and not config.runtime.endswith(".py"):
            raise invalid(f"parameter '{key}' of {config.name} is for Python models; its backend is '{config.backend}'")
    wish_of(config.name, "", {key: config.parameters[key].string_value for key in config.parameters})
    if texts.get(PLACEMENT, "replicate") not in PLACEMENTS:
        raise _fault(config, PLACEMENT, f"one of {', '.join(PLACEMENTS)}", texts[PLACEMENT])
    if PAD_INPUTS in texts:
        _check_padding(config, texts)
        return
    for key in (BUCKETS, SLICED):
        if key in texts:
            raise invalid(f"parameter '{key}' of {config.name} needs '{PAD_INPUTS}', which is not given")


def _check_padding(config: Message, texts: dict[str, str]) -> None:
    needs = f"parameter '{PAD_INPUTS}' of {config.name}"
    if config.max_batch_size < 1:
        raise invalid(f"{needs} needs a max_batch_size of at least 1; got {config.max_batch_size}")
    if config.HasField("sequence_batching"):
        raise invalid(f"{needs} cannot be used with sequence_batching, where each slot has its own place in the batch")
    if config.HasField("ensemble_scheduling"):
        raise invalid(f"{needs} cannot be used with an ensemble; give it to the models that are its steps")
    if config.backend in _TAKE_REQUESTS or config.runtime.endswith(".py"):
        raise invalid(
            f"{needs} cannot be used with backend '{config.backend}', whose models get each request by itself"
        )
    _check_inputs(config, texts[PAD_INPUTS])
    _check_buckets(config, texts.get(BUCKETS))
    _check_outputs(config, texts.get(SLICED, ""))


def _check_inputs(config: Message, text: str) -> None:
    inputs = {tensor.name: tensor for tensor in config.input}
    pairs = pad_entries(text)
    if not pairs:
        raise _fault(config, PAD_INPUTS, "names of inputs", text)
    names = [name for name, _ in pairs]
    for name, value in pairs:
        tensor = inputs.get(name)
        if tensor is None or -1 not in tensor.dims:
            raise _fault(config, PAD_INPUTS, "names of inputs that have a variable dimension", name)
        if names.count(name) > 1:
            raise _fault(config, PAD_INPUTS, "each input once", f"{name} twice")
        where = f"parameter '{PAD_INPUTS}' of {config.name}: input '{name}'"
        if enum_name(tensor, "data_type") == "TYPE_STRING":
            raise invalid(f"{where} has data_type TYPE_STRING, which cannot be filled up")
        for field in ("allow_ragged_batch", "optional"):
            if getattr(tensor, field):
                raise invalid(f"{where} cannot be filled up and have '{field}'")
        if tensor.HasField("reshape"):
            raise invalid(f"{where} cannot be filled up and have 'reshape', which hides the dimension to fill up")
        _check_value(config, tensor, value)


def _check_value(config: Message, tensor: Message, text: str) -> None:
    value = as_value(text)
    if value is None:
        raise _fault(config, PAD_INPUTS, "numbers to fill with", text)
    datatype = from_config(enum_name(tensor, "data_type"))
    if "FP" in datatype or datatype == "BF16":
        fits = not isfinite(value) or abs(value) <= _LARGEST.get(datatype, abs(value))
    else:
        lowest, highest = _integers(datatype)
        fits = value.is_integer() and lowest <= value <= highest
    if not fits:
        raise _fault(config, PAD_INPUTS, f"a value of input '{tensor.name}', which is {datatype}", text)


def _integers(datatype: str) -> tuple[int, int]:
    """The smallest and the largest number of a datatype that counts."""
    if datatype == "BOOL":
        return 0, 1
    bits = 8 * ELEMENT_BYTES[datatype]
    # A float next to the largest may be beyond it, so the largest of 64 bits are left out.
    exact = min(bits, 53 if datatype.startswith("U") else 54)
    return (0, 2**exact - 1) if datatype.startswith("U") else (-(2 ** (exact - 1)), 2 ** (exact - 1) - 1)


def _check_buckets(config: Message, text: str | None) -> None:
    if text is None:
        return
    texts = entries(text)
    bounds = [int(each) for each in texts if is_number(each)]
    if not bounds or len(bounds) != len(texts) or bounds != sorted(set(bounds)) or 0 in bounds:
        raise _fault(config, BUCKETS, "ascending lengths of at least 1", text)


def _check_outputs(config: Message, text: str) -> None:
    outputs = {tensor.name: tensor for tensor in config.output}
    scattered = {name for batch_output in config.batch_output for name in batch_output.target_name}
    for name in entries(text):
        tensor = outputs.get(name)
        if tensor is None or -1 not in tensor.dims:
            raise _fault(config, SLICED, "names of outputs that have a variable dimension", name)
        where = f"parameter '{SLICED}' of {config.name}: output '{name}'"
        if tensor.HasField("reshape"):
            raise invalid(f"{where} cannot be cut and have 'reshape', which hides the dimension to cut")
        if name in scattered:
            raise invalid(f"{where} cannot be cut and be a target of 'batch_output', which gives it its shape")


def _fault(config: Message, key: str, expected: str, got: str) -> TisError:
    return invalid(f"parameter '{key}' of {config.name} must hold {expected}; got '{got}'")
