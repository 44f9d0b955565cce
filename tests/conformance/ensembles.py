"""The ensembles of the cases: their configs, which are the same on both servers."""

from typing import Final

from tests.harness.ensembles import Ensemble, Step

_FP32: Final = ("FP32", "4")
_ANY: Final = ("FP32", "-1")

_TWO: Final = {"INPUT0": _FP32, "INPUT1": _FP32}
_BOTH: Final = {"OUTPUT0": _FP32, "OUTPUT1": _FP32}


def _pairs(model: str) -> tuple[Step, ...]:
    """The same model twice: sum and difference of sum and difference."""
    same = {name: name for name in _TWO}
    return (
        Step(model, same, {"OUTPUT0": "sum", "OUTPUT1": "difference"}),
        Step(model, {"INPUT0": "sum", "INPUT1": "difference"}, {name: name for name in _BOTH}),
    )


def _through(*models: str) -> tuple[Step, ...]:
    """Models of one input and one output behind each other, from I to O."""
    tensors = ["I", *(f"t{number}" for number in range(1, len(models))), "O"]
    return tuple(
        Step(model, {"INPUT0": tensors[number]}, {"OUTPUT0": tensors[number + 1]})
        for number, model in enumerate(models)
    )


#: Every ensemble by name.
ENSEMBLES: Final[dict[str, Ensemble]] = {
    "chain": Ensemble(_TWO, _BOTH, _pairs("pair")),
    "nested": Ensemble(_TWO, _BOTH, _pairs("chain")),
    "line_line": Ensemble({"I": _ANY}, {"O": _ANY}, _through("line", "line")),
    "diamond": Ensemble(
        _TWO,
        {"B": _FP32, "A": _FP32, "C": _FP32},
        (
            Step("pair", {name: name for name in _TWO}, {"OUTPUT0": "A", "OUTPUT1": "B"}),
            Step("line", {"INPUT0": "A"}, {"OUTPUT0": "C"}),
        ),
    ),
    "optional": Ensemble(
        {"I": _FP32, "J?": _FP32},
        {"O": _FP32},
        (Step("defaulted", {"INPUT0": "I", "INPUT1": "J"}, {"OUTPUT0": "O"}),),
    ),
    "not_mapped": Ensemble({"I": _FP32}, {"O": _FP32}, (Step("defaulted", {"INPUT0": "I"}, {"OUTPUT0": "O"}),)),
    "required": Ensemble(
        {"I": _FP32, "J?": _FP32},
        {"O": _FP32},
        (Step("pair", {"INPUT0": "I", "INPUT1": "J"}, {"OUTPUT0": "O"}),),
    ),
    "to_flat": Ensemble({"I": _ANY}, {"O": _ANY}, _through("line", "id_fp32", "line")),
    "to_batch": Ensemble({"I": _ANY}, {"O": _ANY}, _through("id_fp32", "line", "id_fp32"), 0),
    "shapes": Ensemble(
        {"I": _ANY},
        {"O": _FP32},
        (
            Step("wide", {"INPUT0": "I"}, {"OUTPUT0": "t"}),
            Step("batched", {"INPUT0": "t"}, {"OUTPUT0": "O"}),
        ),
    ),
    "gathers": Ensemble(
        {"I": ("INT64", "1")},
        {"O": ("INT64", "1")},
        (
            Step("gather", {"INDEX": "I"}, {"OUTPUT0": "t"}),
            Step("gather", {"INDEX": "t"}, {"OUTPUT0": "O"}),
        ),
    ),
    "classes": Ensemble(
        {"I": _FP32, "J": ("INT32", "4"), "K": ("STRING", "4")},
        {"O": _FP32},
        (
            Step("line", {"INPUT0": "I"}, {"OUTPUT0": "t"}),
            Step("labelled", {"INPUT0": "t", "INPUT1": "J", "INPUT2": "K"}, {"OUTPUT0": "O"}),
        ),
    ),
    "words": Ensemble({"I": ("STRING", "-1")}, {"O": ("STRING", "-1")}, _through("strings", "strings"), 4),
    "versions": Ensemble(
        {"I": ("INT32", "4")},
        {"O": ("INT32", "4")},
        (
            Step("versioned", {"INPUT0": "I"}, {"OUTPUT0": "t"}, 1),
            Step("versioned", {"INPUT0": "t"}, {"OUTPUT0": "O"}),
        ),
        4,
    ),
    "counted_chain": Ensemble({"I": _ANY}, {"O": _ANY}, _through("line", "line")),
    # None of these can be loaded.
    "misses": Ensemble({"I": _FP32}, {"O": _FP32}, _through("nobody")),
    "misfits": Ensemble({"I": ("INT32", "4")}, {"O": _FP32}, _through("line")),
    "too_large": Ensemble({"I": _FP32}, {"O": _FP32}, _through("line"), 64),
    "circle": Ensemble(
        {"INPUT0": _FP32}, {"OUTPUT0": _FP32}, (Step("circle", {"INPUT0": "INPUT0"}, {"OUTPUT0": "OUTPUT0"}),)
    ),
    "on_misfits": Ensemble({"I": _FP32}, {"O": _FP32}, (Step("misfits", {"I": "I"}, {"O": "O"}),)),
    "unused_input": Ensemble({"I": _FP32, "J": _FP32}, {"O": _FP32}, _through("line")),
    "other_version": Ensemble({"I": _FP32}, {"O": _FP32}, (Step("line", {"INPUT0": "I"}, {"OUTPUT0": "O"}, 7),)),
}
