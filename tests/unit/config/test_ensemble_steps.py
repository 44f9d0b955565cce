"""An ensemble is compared with the models of its steps; texts as a Triton 2.51 gave them."""

from collections.abc import Callable

import msgspec
import pytest

from tis.config.ensemble_steps import check_steps
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import EnsembleSpec, EnsembleStepSpec
from tis.errors import Code, TisError

replace: Callable[..., ModelSpec] = msgspec.structs.replace


def tensor(name: str, datatype: str = "FP32", dims: tuple[int, ...] = (4,), *, optional: bool = False) -> TensorSpec:
    return TensorSpec(name, datatype, dims, optional=optional)


def model(name: str, inputs: list[TensorSpec], outputs: list[TensorSpec], max_batch_size: int = 8) -> ModelSpec:
    return ModelSpec(name, 1, "", "python", max_batch_size, tuple(inputs), tuple(outputs))


IDENT = model("ident", [tensor("INPUT0", dims=(-1,))], [tensor("OUTPUT0", dims=(-1,))])
SIMPLE = model("simple", [tensor("INPUT0"), tensor("INPUT1")], [tensor("OUTPUT0"), tensor("OUTPUT1")])
OPTIONAL = model("opt", [tensor("INPUT0"), tensor("INPUT1", optional=True)], [tensor("OUTPUT0")])
MODELS = {each.name: each for each in (IDENT, SIMPLE, OPTIONAL)}


def ensemble(
    *steps: tuple[str, dict[str, str], dict[str, str]],
    inputs: tuple[TensorSpec, ...] = (tensor("I"),),
    outputs: tuple[TensorSpec, ...] = (tensor("O"),),
    max_batch_size: int = 8,
) -> ModelSpec:
    made = tuple(EnsembleStepSpec(name, -1, given, produced) for name, given, produced in steps)
    return ModelSpec("e", 1, "ensemble", "", max_batch_size, inputs, outputs, ensemble=EnsembleSpec(made))


def fault(spec: ModelSpec, models: dict[str, ModelSpec] = MODELS) -> str:
    with pytest.raises(TisError) as raised:
        check_steps(spec, models)
    assert raised.value.code is Code.INVALID_ARG
    return raised.value.message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            ensemble(("ident", {"INPUT0": "I"}, {"OUTPUT0": "O"}), inputs=(tensor("I", "INT32"),)),
            "in ensemble e, ensemble tensor I: inconsistent data type: TYPE_INT32 is inferred from model e while "
            "TYPE_FP32 is inferred from model ident",
        ),
        (
            ensemble(("simple", {"INPUT0": "I", "INPUT1": "I"}, {"OUTPUT0": "O"}), inputs=(tensor("I", dims=(5,)),)),
            "in ensemble e, ensemble tensor I: inconsistent shape: [-1,5] is inferred from model e while [-1,4] is "
            "inferred from model simple",
        ),
        (
            ensemble(("ident", {"INPUT0": "I"}, {"OUTPUT0": "O"}), max_batch_size=16),
            "ensemble e allows maximum batch size 16, but it contains model ident which only allows maximum batch size "
            "to be 8",
        ),
        (
            ensemble(("simple", {"INPUT0": "I"}, {"OUTPUT0": "O"})),
            "in ensemble e, input INPUT1 in model simple is not mapped to any ensemble tensors",
        ),
        (
            ensemble(("ident", {"INPUT0": "I", "ZZ": "I"}, {"OUTPUT0": "O"})),
            "in ensemble e, ensemble tensor I is mapping to non-existing input ZZ in model ident",
        ),
        (
            ensemble(("ident", {"INPUT0": "I"}, {"ZZ": "O"})),
            "in ensemble e, ensemble tensor O is mapped from non-existing output ZZ in model ident",
        ),
    ],
)
def test_an_ensemble_that_does_not_fit_its_steps_is_rejected_in_tritons_words(spec: ModelSpec, words: str) -> None:
    assert fault(spec) == words


@pytest.mark.parametrize(
    "spec",
    [
        ensemble(("ident", {"INPUT0": "I"}, {"OUTPUT0": "t"}), ("ident", {"INPUT0": "t"}, {"OUTPUT0": "O"})),
        ensemble(("opt", {"INPUT0": "I"}, {"OUTPUT0": "O"})),
        ensemble(("opt", {"INPUT0": "I", "INPUT1": "I"}, {"OUTPUT0": "O"}), max_batch_size=0),
        # A model without batching has the batch dimension among its own.
        ensemble(
            ("whole", {"INPUT0": "I"}, {"OUTPUT0": "O"}),
        ),
    ],
)
def test_an_ensemble_that_fits_is_not_decoupled(spec: ModelSpec) -> None:
    whole = model("whole", [tensor("INPUT0", dims=(-1, 4))], [tensor("OUTPUT0", dims=(-1, 4))], max_batch_size=0)
    assert check_steps(spec, MODELS | {"whole": whole}) is False


def test_an_ensemble_with_a_decoupled_step_is_decoupled() -> None:
    spec = ensemble(("ident", {"INPUT0": "I"}, {"OUTPUT0": "t"}), ("opt", {"INPUT0": "t"}, {"OUTPUT0": "O"}))
    assert check_steps(spec, MODELS | {"ident": replace(IDENT, decoupled=True)}) is True


JOINED = ensemble(
    ("ident", {"INPUT0": "I"}, {"OUTPUT0": "t"}),
    ("opt", {"INPUT0": "I"}, {"OUTPUT0": "u"}),
    ("simple", {"INPUT0": "t", "INPUT1": "u"}, {"OUTPUT0": "O"}),
)


@pytest.mark.parametrize("decoupled", [("ident",), ("opt",), ("ident", "opt")])
def test_a_step_may_not_join_what_comes_from_different_decoupled_steps(decoupled: tuple[str, ...]) -> None:
    models = MODELS | {name: replace(MODELS[name], decoupled=True) for name in decoupled}
    words = "in ensemble e, step of model 'simple' receives inputs originated from different decoupled models"
    assert fault(JOINED, models) == words


def test_nor_may_the_answer() -> None:
    spec = ensemble(
        ("ident", {"INPUT0": "I"}, {"OUTPUT0": "O"}),
        ("opt", {"INPUT0": "I"}, {"OUTPUT0": "P"}),
        outputs=(tensor("O"), tensor("P")),
    )
    models = MODELS | {"ident": replace(IDENT, decoupled=True)}
    assert "step of model 'e' receives inputs originated from different decoupled models" in fault(spec, models)
