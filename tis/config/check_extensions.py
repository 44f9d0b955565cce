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
    RELOAD,
    RELOADS,
    SLICED,
    as_seconds,
    as_value,
    entries,
    given,
    is_number,
    pad_entries,
)
from tis.config.fault import ConfigFault, Faults, Report, at_key, raise_it, tell
from tis.config.proto import Message, enum_name
from tis.config.spreading import PARAMETER as PLACEMENT
from tis.config.spreading import WORDS as PLACEMENTS
from tis.contracts.datatypes import ELEMENT_BYTES, from_config
from tis.environments.wish import ENVIRONMENT, PYTHON, REQUIREMENTS, wish_of
from tis.errors import TisError

#: Backends that get requests one by one, whose tensors the server does not put together.
_TAKE_REQUESTS: Final = frozenset({"dali", "python"})
_LARGEST: Final = {"FP16": 65504.0, "BF16": 3.3895313892515355e38, "FP32": 3.4028234663852886e38}


def check_extensions(config: Message, report: Report = raise_it) -> None:
    """Rejects extensions that are unknown, cannot be read, or cannot work with the rest of the config.

    Raises:
        TisError: INVALID_ARG, naming the parameter, what it should hold and what it holds; the first, unless `report` keeps
            them.
    """
    tell(_faults(config), report)


def _faults(config: Message) -> Faults:
    texts = given(config)
    for key in texts:
        if key not in KNOWN:
            text = f"unknown parameter '{key}' for {config.name}; those of this server are {', '.join(KNOWN)}"
            yield ConfigFault(at_key("parameters", key), text, expected=f"one of {', '.join(KNOWN)}")
    yield from _value_faults(config, texts)
    if PAD_INPUTS in texts:
        yield from _padding_faults(config, texts)
        return
    for key in (BUCKETS, SLICED):
        if key in texts:
            yield _fault(key, f"parameter '{key}' of {config.name} needs '{PAD_INPUTS}', which is not given")


def _value_faults(config: Message, texts: dict[str, str]) -> Faults:
    """Of parameters that stand alone."""
    covers = texts.get(COVERS, "")
    if covers.lower() not in BOOLEANS:
        yield _misfit(config, COVERS, "true or false", covers)
    if not is_number(texts.get(GOAL, "0")):
        yield _misfit(config, GOAL, "a number of microseconds", texts[GOAL])
    for key in (LOAD_LIMIT, EXECUTION_LIMIT):
        if key in texts and as_seconds(texts[key]) is None:
            yield _misfit(config, key, "a number of seconds", texts[key])
    if not is_number(texts.get(MEMORY_LIMIT, "0")):
        yield _misfit(config, MEMORY_LIMIT, "a number of bytes", texts[MEMORY_LIMIT])
    for key in (LOAD_LIMIT, EXECUTION_LIMIT, MEMORY_LIMIT):
        if key in texts and config.HasField("ensemble_scheduling"):
            text = f"parameter '{key}' of {config.name} cannot be used with an ensemble; give it to the models of its steps"
            yield _fault(key, text)
    for key in (REQUIREMENTS, PYTHON):
        if key in texts and config.backend != "python" and not config.runtime.endswith(".py"):
            text = f"parameter '{key}' of {config.name} is for Python models; its backend is '{config.backend}'"
            yield _fault(key, text)
    try:
        wish_of(config.name, "", {key: config.parameters[key].string_value for key in config.parameters})
    except TisError as error:
        yield _fault(ENVIRONMENT, error.message)
    if texts.get(RELOAD, "beside") not in RELOADS:
        yield _misfit(config, RELOAD, f"one of {', '.join(RELOADS)}", texts[RELOAD])
    if texts.get(PLACEMENT, "replicate") not in PLACEMENTS:
        yield _misfit(config, PLACEMENT, f"one of {', '.join(PLACEMENTS)}", texts[PLACEMENT])


def _padding_faults(config: Message, texts: dict[str, str]) -> Faults:
    needs = f"parameter '{PAD_INPUTS}' of {config.name}"
    if config.max_batch_size < 1:
        yield _fault(PAD_INPUTS, f"{needs} needs a max_batch_size of at least 1; got {config.max_batch_size}")
    if config.HasField("sequence_batching"):
        text = f"{needs} cannot be used with sequence_batching, where each slot has its own place in the batch"
        yield _fault(PAD_INPUTS, text)
    if config.HasField("ensemble_scheduling"):
        text = f"{needs} cannot be used with an ensemble; give it to the models that are its steps"
        yield _fault(PAD_INPUTS, text)
    if config.backend in _TAKE_REQUESTS or config.runtime.endswith(".py"):
        text = f"{needs} cannot be used with backend '{config.backend}', whose models get each request by itself"
        yield _fault(PAD_INPUTS, text)
    yield from _input_faults(config, texts[PAD_INPUTS])
    yield from _bucket_faults(config, texts.get(BUCKETS))
    yield from _output_faults(config, texts.get(SLICED, ""))


def _input_faults(config: Message, text: str) -> Faults:
    inputs = {tensor.name: tensor for tensor in config.input}
    pairs = pad_entries(text)
    if not pairs:
        yield _misfit(config, PAD_INPUTS, "names of inputs", text)
    names = [name for name, _ in pairs]
    for position, (name, value) in enumerate(pairs):
        tensor = inputs.get(name)
        if tensor is None or -1 not in tensor.dims:
            yield _misfit(config, PAD_INPUTS, "names of inputs that have a variable dimension", name)
            continue
        if name in names[position + 1 :]:
            yield _misfit(config, PAD_INPUTS, "each input once", f"{name} twice")
        where = f"parameter '{PAD_INPUTS}' of {config.name}: input '{name}'"
        if enum_name(tensor, "data_type") == "TYPE_STRING":
            yield _fault(PAD_INPUTS, f"{where} has data_type TYPE_STRING, which cannot be filled up")
        for field in ("allow_ragged_batch", "optional"):
            if getattr(tensor, field):
                yield _fault(PAD_INPUTS, f"{where} cannot be filled up and have '{field}'")
        if tensor.HasField("reshape"):
            text = f"{where} cannot be filled up and have 'reshape', which hides the dimension to fill up"
            yield _fault(PAD_INPUTS, text)
        yield from _fill_faults(config, tensor, value)


def _fill_faults(config: Message, tensor: Message, text: str) -> Faults:
    """Of the value that an input is filled up with."""
    value = as_value(text)
    datatype = from_config(enum_name(tensor, "data_type"))
    if value is None:
        yield _misfit(config, PAD_INPUTS, "numbers to fill with", text)
    elif ELEMENT_BYTES.get(datatype) and not _holds(datatype, value):
        yield _misfit(config, PAD_INPUTS, f"a value of input '{tensor.name}', which is {datatype}", text)


def _holds(datatype: str, value: float) -> bool:
    if "FP" in datatype or datatype == "BF16":
        return not isfinite(value) or abs(value) <= _LARGEST.get(datatype, abs(value))
    lowest, highest = _integers(datatype)
    return value.is_integer() and lowest <= value <= highest


def _integers(datatype: str) -> tuple[int, int]:
    """The smallest and the largest number of a datatype that counts."""
    if datatype == "BOOL":
        return 0, 1
    bits = 8 * ELEMENT_BYTES[datatype]
    # A float next to the largest may be beyond it, so the largest of 64 bits are left out.
    exact = min(bits, 53 if datatype.startswith("U") else 54)
    return (0, 2**exact - 1) if datatype.startswith("U") else (-(2 ** (exact - 1)), 2 ** (exact - 1) - 1)


def _bucket_faults(config: Message, text: str | None) -> Faults:
    if text is None:
        return
    texts = entries(text)
    bounds = [int(each) for each in texts if is_number(each)]
    if not bounds or len(bounds) != len(texts) or bounds != sorted(set(bounds)) or 0 in bounds:
        yield _misfit(config, BUCKETS, "ascending lengths of at least 1", text)


def _output_faults(config: Message, text: str) -> Faults:
    outputs = {tensor.name: tensor for tensor in config.output}
    scattered = {name for batch_output in config.batch_output for name in batch_output.target_name}
    for name in entries(text):
        tensor = outputs.get(name)
        if tensor is None or -1 not in tensor.dims:
            yield _misfit(config, SLICED, "names of outputs that have a variable dimension", name)
            continue
        where = f"parameter '{SLICED}' of {config.name}: output '{name}'"
        if tensor.HasField("reshape"):
            yield _fault(SLICED, f"{where} cannot be cut and have 'reshape', which hides the dimension to cut")
        if name in scattered:
            yield _fault(SLICED, f"{where} cannot be cut and be a target of 'batch_output', which gives it its shape")


def _misfit(config: Message, key: str, expected: str, got: str) -> ConfigFault:
    return _fault(key, f"parameter '{key}' of {config.name} must hold {expected}; got '{got}'", expected)


def _fault(key: str, text: str, expected: str = "") -> ConfigFault:
    return ConfigFault(f"{at_key('parameters', key)}.string_value", text, expected=expected)
