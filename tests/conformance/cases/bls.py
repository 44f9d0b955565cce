"""Models that ask other models, the very same on both servers (see tests.harness.bls_models)."""

from typing import Final

from tests.conformance.case import Case, case, infer, tensor

#: What is asked of each model, which all answer with what came of it.
_ASKED: Final[dict[str, tuple[str, ...]]] = {
    "bls_chain": ("1", "2.5"),
    "bls_gather": ("4",),
    "bls_each": ("0", "3", "plain", "not decoupled"),
    "bls_async_each": ("3",),
    "bls_errors": ("", "error", "raise"),
    "bls_unknown": ("nope", ""),
    "bls_wrong": ("name", "shape", "dtype", "missing", "twice", "output", "no outputs", "batch"),
    "bls_constructed": ("no output name", "no input", "a float", "a key", "right"),
    "bls_sequence": ("sum", "no id", "no start"),
    "bls_version": ("1", "3", "-1", "2", "9", "0"),
    "bls_fields": ("",),
    "bls_timeout": ("",),
    "bls_nested": ("1",),
    "bls_threads": ("8",),
    "bls_ready": ("b_echo", "nope", "b_versions:2", "b_versions:3"),
    "bls_ensemble": ("3",),
}

CASES: Final[list[Case]] = [
    case(
        f"{model} {text}".strip(),
        infer(model, {"inputs": [tensor("TEXT", "BYTES", [1], [text])]}),
        server="bls",
        masks=("folder of the models",),
    )
    for model, texts in _ASKED.items()
    for text in texts
] + [
    case(
        "a step of an ensemble asks",
        infer("bls_inside", {"inputs": [tensor("E", "FP32", [2], [1.0, 2.0])]}),
        server="bls",
    )
]
