"""What a config asks of a forest of trees, named as Triton's FIL backend names it. Reads parameters, loads nothing.

Old names stand for new ones as there: `output_class` for `is_classifier`, `algo` for `layout`, `threads_per_tree` for
`chunk_size`. The last two, and others that only tune how a GPU works, never change an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tis.errors import invalid, unsupported
from tis.log import get_logger

#: Default file by model type, in the order in which files are looked for where a config names no type.
FILES: Final[dict[str, str]] = {
    "xgboost_json": "xgboost.json",
    "xgboost_ubj": "xgboost.ubj",
    "lightgbm": "model.txt",
    "treelite_checkpoint": "checkpoint.tl",
    "xgboost": "xgboost.model",
}
_LAYOUTS: Final = ("depth_first", "breadth_first", "layered")
#: What tuned Triton's older implementation, and means nothing to this one.
_OBSOLETE: Final = ("algo", "storage_type", "blocks_per_sm", "threads_per_tree", "use_experimental_optimizations")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FilOptions:
    """Parameters of the config."""

    #: One of `FILES`; empty: what the file's name says.
    model_type: str
    #: Whether answers are classes or their probabilities; None: what the model says.
    is_classifier: bool | None
    predict_proba: bool
    #: A row is of the second of two classes where its probability is larger.
    threshold: float
    allow_unknown_field: bool
    #: Threads for one prediction; 0: the instance's share of the cores.
    threads: int
    # For GPUs.
    layout: str
    #: 0: what the library finds best.
    chunk_size: int
    #: Batches of at most so many rows stay on the CPU.
    transfer_threshold: int


def fil_options(name: str, parameters: Mapping[str, str]) -> FilOptions:
    """The options of a model.

    Raises:
        TisError: UNSUPPORTED, in Triton's words, for a model type that there is not; INVALID_ARG for a value that cannot be
            read.
    """
    model_type = parameters.get("model_type", "")
    if model_type and model_type not in FILES:
        raise unsupported(
            f"{model_type} not recognized as a valid serialization format; model '{name}' may have: {', '.join(FILES)}"
        )
    layout = parameters.get("layout", _LAYOUTS[0])
    if layout not in _LAYOUTS:
        raise _misfit(name, "layout", f"one of {', '.join(_LAYOUTS)}", layout)
    ignored = [key for key in _OBSOLETE if key in parameters]
    if ignored:
        _log.info("model '%s': parameters without effect here: %s", name, ", ".join(ignored))
    predict_proba = _boolean(name, parameters, "predict_proba") or False
    is_classifier = _boolean(name, parameters, "output_class")
    if is_classifier is None:
        is_classifier = _boolean(name, parameters, "is_classifier")
    return FilOptions(
        model_type=model_type,
        is_classifier=is_classifier,
        predict_proba=predict_proba,
        threshold=_number(name, parameters, "threshold", 0.5),
        allow_unknown_field=_boolean(name, parameters, "xgboost_allow_unknown_field") or False,
        threads=_count(name, parameters, "cpu_nthread"),
        layout=layout,
        chunk_size=_count(name, parameters, "chunk_size"),
        transfer_threshold=_count(name, parameters, "transfer_threshold"),
    )


def _boolean(name: str, parameters: Mapping[str, str], key: str) -> bool | None:
    text = parameters.get(key)
    if text is None:
        return None
    found = _BOOLEANS.get(text.strip().lower())
    if found is None:
        raise _misfit(name, key, "true or false", text)
    return found


def _number(name: str, parameters: Mapping[str, str], key: str, default: float) -> float:
    text = parameters.get(key)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise _misfit(name, key, "a number", text) from None


def _count(name: str, parameters: Mapping[str, str], key: str) -> int:
    """A whole number; what is below 0 means, as 0 does, that nothing is chosen."""
    text = parameters.get(key, "0")
    try:
        return max(int(text), 0)
    except ValueError:
        raise _misfit(name, key, "a whole number", text) from None


def _misfit(name: str, key: str, expected: str, got: str) -> Exception:
    return invalid(f"parameter '{key}' of model '{name}' must be {expected}; got '{got}'")
