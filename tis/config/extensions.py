"""What a config may ask for beyond Triton, as entries of its `parameters` whose names begin with `tis.`: read.

==============================  =====================================================================================
`tis.pad_inputs`                names of variable-length inputs that are filled up so that different lengths share a
                                batch, with the filling value behind a colon: `INPUT_IDS:0, ATTENTION_MASK:0`
`tis.length_buckets`            ascending lengths: only requests between the same two share a batch: `32, 64, 128`
`tis.sliced_outputs`            outputs whose first variable dimension has the inputs' length, to be cut back: `LOGITS`
`tis.latency_goal_us`           how long a request may take; the batcher then learns how long it may wait for others
`tis.timeout_covers_execution`  `true`: a request's `timeout` ends it while it runs, too
`tis.load_limit_s`              how many seconds an instance may take to load, in place of `--model-load-timeout-secs`;
                                0 for any number; decimals are allowed
`tis.execution_limit_s`         how many seconds a batch may run; its instance is then killed and started anew
`tis.memory_limit_bytes`        how much memory an instance may have, before a fresh one takes its place
`tis.reload`                    `unload_first`: what serves goes before it is loaded anew; `beside`, the default: after
`tis.placement`                 `spread` or `pack`: instances on GPUs are counted in all, see `tis.config.spreading`
==============================  =====================================================================================

Reading forgives everything, since it is done of unfinished configs, too; `tis.config.check_extensions` says what is wrong.
"""

import re
from typing import Final

from tis.config.proto import Message
from tis.config.spreading import PARAMETER as PLACEMENT
from tis.contracts.scheduling_spec import ExtensionSpec, PaddingSpec

PREFIX: Final = "tis."

PAD_INPUTS: Final = "tis.pad_inputs"
BUCKETS: Final = "tis.length_buckets"
SLICED: Final = "tis.sliced_outputs"
GOAL: Final = "tis.latency_goal_us"
COVERS: Final = "tis.timeout_covers_execution"
LOAD_LIMIT: Final = "tis.load_limit_s"
EXECUTION_LIMIT: Final = "tis.execution_limit_s"
MEMORY_LIMIT: Final = "tis.memory_limit_bytes"
RELOAD: Final = "tis.reload"
KNOWN: Final = (
    *(PAD_INPUTS, BUCKETS, SLICED, GOAL, COVERS, LOAD_LIMIT, EXECUTION_LIMIT, MEMORY_LIMIT, RELOAD),
    PLACEMENT,
)
RELOADS: Final = ("beside", "unload_first")
BOOLEANS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}


def given(config: Message) -> dict[str, str]:
    """The parameters of a config that are extensions, with their texts."""
    return {key: config.parameters[key].string_value for key in config.parameters if key.startswith(PREFIX)}


def extensions(config: Message) -> ExtensionSpec:
    """The extensions that a config asks for. What cannot be read is left out."""
    texts = given(config)
    if not texts:
        return ExtensionSpec()
    goal = texts.get(GOAL, "")
    covers = BOOLEANS.get(texts.get(COVERS, "").lower(), False)
    memory = texts.get(MEMORY_LIMIT, "")
    return ExtensionSpec(
        _padding(texts),
        int(goal) if is_number(goal) else 0,
        covers,
        as_seconds(texts.get(LOAD_LIMIT, "")),
        as_seconds(texts.get(EXECUTION_LIMIT, "")) or 0.0,
        int(memory) if is_number(memory) else 0,
    )


def unloads_first(config: Message) -> bool:
    """True where what serves of a model has to go before the model is loaded anew."""
    return given(config).get(RELOAD) == "unload_first"


def pad_entries(text: str) -> list[tuple[str, str]]:
    """Names and values as written in `tis.pad_inputs`; without a colon the value is 0."""
    pairs: list[tuple[str, str]] = []
    for entry in entries(text):
        name, colon, value = entry.rpartition(":")
        pairs.append((name.strip(), value.strip()) if colon else (entry, "0"))
    return pairs


def entries(text: str) -> list[str]:
    """The parts of a list separated by commas; empty ones are left out."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def is_number(text: str) -> bool:
    """True for a whole number without sign, in plain digits."""
    return text.isascii() and text.isdigit()


def as_seconds(text: str) -> float | None:
    """The number of seconds that a text says in plain digits, perhaps with decimals; None for anything else."""
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) else None


def as_value(text: str) -> float | None:
    """The value to fill with that a text says, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _padding(texts: dict[str, str]) -> PaddingSpec | None:
    pairs = [(name, as_value(text)) for name, text in pad_entries(texts.get(PAD_INPUTS, ""))]
    values = {name: value for name, value in pairs if value is not None}
    if not values:
        return None
    bounds = sorted({int(text) for text in entries(texts.get(BUCKETS, "")) if is_number(text)})
    return PaddingSpec(values, tuple(bounds), tuple(entries(texts.get(SLICED, ""))))
