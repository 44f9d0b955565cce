"""What a config may ask for beyond Triton, as entries of its `parameters` whose names begin with `tis.`: read and checked.

==============================  =====================================================================================
`tis.pad_inputs`                names of variable-length inputs that are filled up so that different lengths share a
                                batch, with the filling value behind a colon: `INPUT_IDS:0, ATTENTION_MASK:0`
`tis.length_buckets`            ascending lengths: only requests between the same two share a batch: `32, 64, 128`
`tis.sliced_outputs`            outputs whose first variable dimension has the inputs' length, to be cut back: `LOGITS`
`tis.latency_goal_us`           how long a request may take; the batcher then learns how long it may wait for others
`tis.timeout_covers_execution`  `true`: a request's `timeout` ends it while it runs, too
==============================  =====================================================================================
"""

from typing import Final

from tis.config.proto import Message
from tis.contracts.scheduling_spec import ExtensionSpec, PaddingSpec
from tis.errors import TisError, invalid

PREFIX: Final = "tis."

_PAD_INPUTS: Final = "tis.pad_inputs"
_BUCKETS: Final = "tis.length_buckets"
_SLICED: Final = "tis.sliced_outputs"
_GOAL: Final = "tis.latency_goal_us"
_COVERS: Final = "tis.timeout_covers_execution"
_KNOWN: Final = (_PAD_INPUTS, _BUCKETS, _SLICED, _GOAL, _COVERS)
_BOOLEANS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}


def extensions(config: Message) -> ExtensionSpec:
    """The extensions that a config asks for.

    Raises:
        TisError: INVALID_ARG, naming the parameter, what it should hold and what it holds.
    """
    given = {key: config.parameters[key].string_value for key in config.parameters if key.startswith(PREFIX)}
    if not given:
        return ExtensionSpec()
    for key in given:
        if key not in _KNOWN:
            raise invalid(f"unknown parameter '{key}' for {config.name}; those of this server are {', '.join(_KNOWN)}")
    covers = given.get(_COVERS, "").lower()
    if covers not in _BOOLEANS:
        raise _fault(config, _COVERS, "true or false", covers)
    goal = given.get(_GOAL, "0")
    if not goal.isdigit():
        raise _fault(config, _GOAL, "a number of microseconds", goal)
    return ExtensionSpec(_padding(config, given), int(goal), _BOOLEANS[covers])


def _padding(config: Message, given: dict[str, str]) -> PaddingSpec | None:
    if _PAD_INPUTS not in given:
        for key in (_BUCKETS, _SLICED):
            if key in given:
                raise invalid(f"parameter '{key}' of {config.name} needs '{_PAD_INPUTS}', which is not given")
        return None
    if config.max_batch_size < 1:
        raise invalid(f"parameter '{_PAD_INPUTS}' needs a max_batch_size of at least 1 for {config.name}")
    return PaddingSpec(_pad_inputs(config, given[_PAD_INPUTS]), _buckets(config, given), _sliced(config, given))


def _pad_inputs(config: Message, text: str) -> dict[str, float]:
    variable = {tensor.name: -1 in tensor.dims for tensor in config.input}
    values: dict[str, float] = {}
    for entry in _entries(text):
        name, _, value = entry.rpartition(":") if ":" in entry else (entry, "", "0")
        name = name.strip()
        if not variable.get(name):
            raise _fault(config, _PAD_INPUTS, "names of inputs that have a variable dimension", name)
        try:
            values[name] = float(value)
        except ValueError:
            raise _fault(config, _PAD_INPUTS, "numbers to fill with", value) from None
    return values


def _buckets(config: Message, given: dict[str, str]) -> tuple[int, ...]:
    texts = _entries(given.get(_BUCKETS, ""))
    if not all(text.isdigit() for text in texts):
        raise _fault(config, _BUCKETS, "ascending lengths", given[_BUCKETS])
    bounds = tuple(int(text) for text in texts)
    if list(bounds) != sorted(set(bounds)) or 0 in bounds:
        raise _fault(config, _BUCKETS, "ascending lengths", given[_BUCKETS])
    return bounds


def _sliced(config: Message, given: dict[str, str]) -> tuple[str, ...]:
    variable = {tensor.name for tensor in config.output if -1 in tensor.dims}
    names = tuple(_entries(given.get(_SLICED, "")))
    for name in names:
        if name not in variable:
            raise _fault(config, _SLICED, "names of outputs that have a variable dimension", name)
    return names


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _fault(config: Message, key: str, expected: str, got: str) -> TisError:
    return invalid(f"parameter '{key}' of {config.name} must hold {expected}; got '{got}'")
