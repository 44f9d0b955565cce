"""Control tensors and states in configs: they are compared with the model, and never taken for tensors of its clients."""

import pytest

from tis.config.agreement import check_agreement
from tis.config.check import check_config
from tis.config.completion import completed
from tis.config.defaults import normalized
from tis.config.source import parse_text
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError

SIGNATURE = ModelSignature(
    inputs=(
        TensorSignature("IN", "FP32", (-1, 3)),
        TensorSignature("START", "INT32", (-1, 1)),
        TensorSignature("ID", "UINT64", (-1, 1)),
        TensorSignature("S_IN", "FP16", (-1, -1, 2)),
    ),
    outputs=(TensorSignature("OUT", "FP32", (-1, 3)), TensorSignature("S_OUT", "FP16", (-1, 5, 2))),
)
IO = 'input { name: "IN" data_type: TYPE_FP32 dims: 3 } output { name: "OUT" data_type: TYPE_FP32 dims: 3 } '
START = 'control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } } '
ID = 'control_input { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } } '
STATE = 'state { input_name: "S_IN" output_name: "S_OUT" data_type: TYPE_FP16 dims: [5, 2] } '
ALL = START + ID + STATE


def text_of(sequences: str, io: str = IO) -> str:
    model = 'name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" max_batch_size: 4'
    return f"{model} {io} sequence_batching {{ {sequences} }}"


def disagreement(sequences: str) -> TisError:
    with pytest.raises(TisError) as caught:
        check_agreement(parse_text(text_of(sequences), "p"), SIGNATURE)
    return caught.value


def test_inputs_that_the_server_fills_count_among_the_models() -> None:
    check_agreement(parse_text(text_of(ALL), "p"), SIGNATURE)


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        (
            START + STATE,
            "configuration expects 3 inputs, model provides 4; configuration has ['IN', 'START', 'S_IN'], "
            "model has ['IN', 'START', 'ID', 'S_IN']",
        ),
        (
            ALL.replace('"START"', '"BEGIN"'),
            "configuration specified sequence control 'BEGIN', but model does not provide that input",
        ),
        (
            ALL.replace("int32", "bool").replace("[0, 1]", "[false, true]"),
            "sequence control 'START', the model expects data-type TYPE_INT32 but the model configuration specifies "
            "data-type TYPE_BOOL",
        ),
        (
            ALL.replace('name: "ID"', 'name: "S_IN"'),
            "sequence control 'S_IN' in model has dims [-1,2] but dims [1] is expected",
        ),
        (ALL.replace("S_OUT", "T_OUT"), "state output 'T_OUT' is not among the model's outputs: OUT, S_OUT"),
        (
            ALL.replace("TYPE_FP16", "TYPE_FP32"),
            "configuration expects datatype TYPE_FP32 for state 'S_IN', model provides TYPE_FP16",
        ),
        (ALL.replace("[5, 2]", "[5, 3]"), "model 'm', tensor 'S_IN': the model expects 3 dimensions (shape [-1,-1,2])"),
        (ALL.replace("[5, 2]", "[6, 2]"), "model 'm', tensor 'S_OUT': the model expects 3 dimensions (shape [-1,5,2])"),
    ],
)
def test_a_control_or_state_that_is_not_the_models_is_told(sequences: str, words: str) -> None:
    assert words in disagreement(sequences).message


def test_completion_leaves_them_to_the_server() -> None:
    done = completed(parse_text(text_of(ALL, io=""), "p"), SIGNATURE)
    assert [each.name for each in done.input] == ["IN"]
    assert [each.name for each in done.output] == ["OUT"]


def initial(text: str) -> str:
    return text_of(f'state {{ input_name: "S" output_name: "T" data_type: TYPE_FP16 dims: [-1, 2] {text} }}', io="")


ZERO = 'initial_state { name: "z" data_type: TYPE_FP16 dims: [4, 2] zero_data: true } '


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            ZERO * 2,
            "initial_state field for state input 'S' must contain exactly one or zero element. Found '2' elements.",
        ),
        (
            ZERO.replace("FP16", "FP32"),
            "The data type used for 'initial_state' field of state 'S' does not match the state data type.",
        ),
        (ZERO.replace('"z"', '""'), "Field 'name' must be set when using initial_state for state input 'S'."),
        (ZERO.replace("[4, 2]", "[4]"), "Number of dimensions in 'initial_state' doesn't match the size of 'state'"),
        (ZERO.replace("[4, 2]", "[-1, 2]"), "'initial_state' field for state input name 'S' contains variable dimensions."),
        (ZERO.replace("[4, 2]", "[4, 3]"), "'initial_state' dim for input name 'S' doesn't match 'state' dim description. 3"),
        (ZERO.replace("zero_data: true", ""), "initial_state setting expects state'S' to have state_data set"),
    ],
)  # fmt: skip
def test_a_wrong_initial_state_is_rejected_in_tritons_words(text: str, words: str) -> None:
    with pytest.raises(TisError) as caught:
        check_config(normalized(parse_text(initial(text), "p")))
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize("text", ["", ZERO, ZERO.replace("zero_data: true", 'data_file: "f"')])
def test_a_right_initial_state_passes(text: str) -> None:
    check_config(normalized(parse_text(initial(text), "p")))
