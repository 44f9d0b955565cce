"""What PyTorch models may take and give, and what their configs may say; loaded without a server."""

from importlib.util import find_spec

import numpy as np
import pytest

from tests.frameworks.pytorch_models import ROWS, Models, models, torch
from tests.harness.native_models import parameter, tensors
from tis.errors import Code
from tis.testing import ModelError

__all__ = ["models", "torch"]

if find_spec("torch") is None:
    pytest.skip("'torch' is not installed: pip install 'tis[torch]'", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def two_in_two_out(inputs: tuple[str, str], outputs: tuple[str, str] = ("OUTPUT__0", "OUTPUT__1")) -> str:
    sides = (("input", inputs), ("output", outputs))
    return "".join(tensors(side, **{name: ("FP32", "4")}) for side, names in sides for name in names)


# ---- names -------------------------------------------------------------------------------------------------------------

BOTH = "def forward(self, left, right):\n    return left - right, left + right\n"


@pytest.mark.parametrize(
    "names",
    [("left", "right"), ("right", "left"), ("X__0", "X__1"), ("X__1", "X__0"), ("first", "second")],
    ids=["arguments", "arguments in another order", "indices", "indices in another order", "the config's order"],
)
def test_inputs_are_found_by_argument_by_index_or_by_order(models: Models, names: tuple[str, str]) -> None:
    models.script(BOTH)
    models.config(two_in_two_out(names), max_batch_size=4)
    left = next(name for name in names if name in ("left", "X__0", "first"))
    right = next(name for name in names if name != left)
    with models.load() as model:
        answer = model.infer({left: ROWS, right: ROWS * 3})
        assert answer["OUTPUT__0"].tolist() == (-2 * ROWS).tolist()
        assert answer["OUTPUT__1"].tolist() == (4 * ROWS).tolist()


def test_outputs_are_found_by_index_and_those_not_asked_for_are_left_out(models: Models) -> None:
    models.script(BOTH)
    models.config(two_in_two_out(("left", "right"), ("SUM__1", "DIFFERENCE__0")), max_batch_size=4)
    with models.load() as model:
        answer = model.infer({"left": ROWS, "right": ROWS}, outputs=["SUM__1"])
        assert list(answer) == ["SUM__1"]
        assert answer["SUM__1"].tolist() == (2 * ROWS).tolist()


def test_a_dictionary_of_tensors_is_filled_by_the_inputs_names_and_one_may_be_given(models: Models) -> None:
    models.script(
        "def forward(self, of: Dict[str, Tensor]):\n    return {'b': of['x'] - of['y'], 'a': of['x'] + of['y']}\n"
    )
    models.config(two_in_two_out(("y", "x"), ("a", "b")), max_batch_size=4)
    with models.load() as model:
        answers = model.batch([{"x": ROWS, "y": ROWS * 3}, {"x": ROWS, "y": ROWS}])
        assert isinstance(answers[0], dict)
        assert answers[0]["a"].tolist() == (4 * ROWS).tolist()
        assert answers[0]["b"].tolist() == (-2 * ROWS).tolist()


def test_a_config_that_does_not_fit_the_arguments_is_refused(models: Models) -> None:
    models.script(BOTH)
    one = tensors("output", OUTPUT__0=("FP32", "4"))
    for given, words in (
        (("left",), "configuration expects 1 inputs, model provides 2"),
        (("X__0", "X__2"), "must have the indices 0 to 1, got 0, 2"),
        (("X__1", "Y__1"), "inputs 'X__1' and 'Y__1' of model 'm' have the same index 1"),
    ):
        models.config("".join(tensors("input", **{name: ("FP32", "4")}) for name in given) + one)
        error = models.refused()
        assert words in error.message
        assert error.code is Code.INVALID_ARG
    models.script("def forward(self, x, n: int):\n    return x * n\n")
    assert "An input of type 'int' was detected in the model." in models.refused().message
    models.config(one + tensors("input", x=("FP32", "4")))
    models.script("def forward(self, x: Dict[str, Tensor], y: Dict[str, Tensor]):\n    return x['x']\n")
    assert "Multiple inputs of kind DictType were detected" in models.refused().message


def test_an_output_that_the_model_does_not_give_fails_the_request_in_tritons_words(models: Models) -> None:
    models.script("def forward(self, x):\n    return x\n")
    sides = tensors("input", x=("FP32", "4")) + tensors("output", OUTPUT__1=("FP32", "4"))
    models.config(sides, max_batch_size=4)
    with (
        models.load() as model,
        pytest.raises(ModelError, match=r"refers to an output index which doesn't exist\. This mod"),
    ):
        model.infer({"x": ROWS})


# ---- datatypes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "datatype",
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"],
)
def test_every_datatype_comes_and_goes_unchanged(models: Models, datatype: str) -> None:
    from tis.contracts.arrays import NUMPY

    models.script("def forward(self, x):\n    return x.clone()\n")
    models.config(tensors("input", x=(datatype, "-1")) + tensors("output", y=(datatype, "-1")))
    values = np.array([0, 1, 1, 0], NUMPY[datatype])
    with models.load() as model:
        answer = model.infer({"x": values})["y"]
        assert (answer.dtype, answer.tolist()) == (values.dtype, values.tolist())


def test_bf16_is_bf16_inside_the_model(models: Models) -> None:
    models.script("def forward(self, x):\n    return (x * 2).to(torch.float32)\n")
    models.config(tensors("input", x=("BF16", "-1")) + tensors("output", y=("FP32", "-1")))
    bits = (np.array([1.5, -3.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    with models.load() as model:
        assert model.infer({"x": bits})["y"].tolist() == [3.0, -6.0]


def test_strings_are_lists_of_one_dimension(models: Models) -> None:
    code = (
        "def forward(self, words: List[str]):\n    out: List[str] = []\n    for word in words:\n"
        "        out.append(word.upper())\n    return out, torch.tensor([len(word) for word in words])\n"
    )
    models.script(code)
    both = tensors("output", OUT__0=("STRING", "-1"), LENGTH__1=("INT64", "-1"))
    models.config(tensors("input", WORDS__0=("STRING", "-1")) + both)
    with models.load() as model:
        answer = model.infer({"WORDS__0": np.array([b"abc", "é".encode(), b""], object)})
        assert answer["OUT__0"].tolist() == [b"ABC", "é".encode(), b""]
        assert answer["LENGTH__1"].tolist() == [3, 2, 0]
        with pytest.raises(ModelError, match="input 'WORDS__0' holds bytes that are not UTF-8"):
            model.infer({"WORDS__0": np.array([b"\xff"], object)})
    flat = "".join(
        f'{side} [ {{ name: "{name}" data_type: TYPE_{kind} dims: [ 1 ] reshape {{ shape: [ ] }} }} ]\n'
        for side, name, kind in (("input", "WORDS__0", "STRING"), ("output", "OUT__0", "STRING"))
    )
    models.config(flat, max_batch_size=4)
    with models.load() as model:
        answers = model.batch([{"WORDS__0": [[b"a"]]}, {"WORDS__0": [[b"b"], [b"c"]]}])
        assert [each["OUT__0"].tolist() for each in answers if isinstance(each, dict)] == [[[b"A"]], [[b"B"], [b"C"]]]
    models.config(tensors("input", WORDS__0=("STRING", "-1")) + both, max_batch_size=4)
    assert "only supports 1 dimensional List of String as input for 'WORDS__0'" in models.refused().message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("x.to(torch.int64)", "configuration expects datatype TYPE_FP32 for output 'y', model provides TYPE_INT64"),
        ("x.sum()", "output 'y' is a scalar which is not supported."),
        ("[x]", "PyTorch execute failure: output must be of type Tensor, List[str] or Tuple"),
        ("x.reshape(3, 3, 3)", "PyTorch execute failure: "),
    ],
    ids=["datatype", "scalar", "list", "failure"],
)
def test_a_result_that_does_not_fit_fails_its_request_and_not_the_model(models: Models, given: str, words: str) -> None:
    models.script(f"def forward(self, x):\n    return {given}\n")
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")))
    with models.load() as model:
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                model.infer({"x": ROWS[0]})
            assert words in caught.value.message


# ---- parameters --------------------------------------------------------------------------------------------------------


def test_parameters_are_taken_by_tritons_names(models: Models) -> None:
    from tis_workers.backends.pytorch_options import read_options

    models.script("def forward(self, x):\n    return x\n")
    sides = tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4"))
    said = {
        "DISABLE_OPTIMIZED_EXECUTION": "true",
        "INFERENCE_MODE": "false",
        "ENABLE_CACHE_CLEANING": "1",
        "INTRA_OP_THREAD_COUNT": "3",
        "INTER_OP_THREAD_COUNT": "2",
        "ENABLE_JIT_PROFILING": "True",
        "ENABLE_JIT_EXECUTOR": "TRUE",
        "DISABLE_CUDNN": "true",
    }
    threads = models.torch.get_num_threads()
    try:
        models.config(sides + "".join(parameter(*each) for each in said.items()))
        with models.load() as model:
            assert models.torch.get_num_threads() == 3
            assert model.infer({"x": ROWS[0]})["y"].tolist() == ROWS[0].tolist()
    finally:
        models.torch.set_num_threads(threads)
        read_options({}, "m").apply(threads)
    options = read_options(said, "m")
    assert (options.optimized_execution, options.inference_mode, options.clean_cache, options.cudnn) == (
        *(False, False, True, False),
    )
    assert (options.jit_profiling, options.jit_executor, options.inter_op_threads) == (True, True, 2)
    for name, value in (("INFERENCE_MODE", "maybe"), ("INTRA_OP_THREAD_COUNT", "-1")):
        models.config(sides + parameter(name, value))
        error = models.refused()
        assert (error.code, f"failed to convert '{value}'" in error.message) == (Code.INVALID_ARG, True)


def test_a_state_of_sequences_is_kept_between_requests(models: Models) -> None:
    models.script("def forward(self, x, total):\n    return total + x, total + x\n")
    sides = tensors("input", INPUT__0=("FP32", "1")) + tensors("output", OUTPUT__0=("FP32", "1"))
    state = (
        'sequence_batching { state [ { input_name: "STATE__1" output_name: "STATE_OUT__1" data_type: TYPE_FP32 dims: [ 1 ] '
        'initial_state { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true name: "zero" } } ] }\n'
    )
    models.config(sides + state, max_batch_size=1)
    with models.load() as model:
        totals = []
        for value in (1, 2, 3):
            given = {"INPUT__0": np.array([[value]], np.float32)}
            answer = model.infer(given, sequence_id=7, sequence_start=value == 1, sequence_end=value == 3)
            totals.append(answer["OUTPUT__0"].item())
        assert totals == [1, 3, 6]


# ---- how outputs lie in memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [3, 300])
def test_outputs_that_are_views_in_another_order_are_answered_in_their_own(models: Models, side: int) -> None:
    models.script("def forward(self, x):\n    return x.transpose(1, 2), x.expand(x.size(0), x.size(1), x.size(1))\n")
    text = tensors("input", x=("FP32", f"{side}, 1")) + tensors(
        "output", OUTPUT__0=("FP32", f"1, {side}"), OUTPUT__1=("FP32", f"{side}, {side}")
    )
    models.config(text, max_batch_size=4)
    sent = np.arange(2 * side, dtype=np.float32).reshape(2, side, 1)
    with models.load() as model:
        answer = model.infer({"x": sent})
        assert np.array_equal(answer["OUTPUT__0"], sent.transpose(0, 2, 1))
        assert np.array_equal(answer["OUTPUT__1"], np.broadcast_to(sent, (2, side, side)))
