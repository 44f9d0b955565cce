"""What a config asks for beyond Triton: reading forgives everything, the check of a completed config nothing."""

import pytest

from tis.config.check_extensions import check_extensions
from tis.config.extensions import extensions
from tis.config.proto import Message
from tis.config.source import parse_text
from tis.contracts.scheduling_spec import ExtensionSpec, PaddingSpec
from tis.errors import Code, TisError

TENSORS = (
    'input { name: "IDS" data_type: TYPE_INT64 dims: -1 } input { name: "MASK" data_type: TYPE_BOOL dims: -1 } '
    'input { name: "TEXT" data_type: TYPE_STRING dims: -1 } input { name: "FIXED" data_type: TYPE_FP32 dims: 3 } '
    'input { name: "RAGGED" data_type: TYPE_FP32 dims: -1 allow_ragged_batch: true } '
    'input { name: "MAYBE" data_type: TYPE_FP32 dims: -1 optional: true } '
    'input { name: "FOLDED" data_type: TYPE_FP32 dims: -1 reshape { shape: [1, -1] } } '
    'input { name: "HALF" data_type: TYPE_FP16 dims: -1 } input { name: "BYTE" data_type: TYPE_UINT8 dims: -1 } '
    'output { name: "LOGITS" data_type: TYPE_FP32 dims: [-1, 2] } output { name: "SCORE" data_type: TYPE_FP32 dims: 1 } '
    'output { name: "FOLDED" data_type: TYPE_FP32 dims: -1 reshape { shape: [1, -1] } } '
    'output { name: "SPREAD" data_type: TYPE_FP32 dims: -1 } batch_output { target_name: "SPREAD" source_input: "IDS" } '
)


def config(text: str = "", /, **parameters: str) -> Message:
    """A config with tensors of all sorts and these parameters, `pad_inputs` for `tis.pad_inputs` and so on."""
    given = "".join(
        f'parameters {{ key: "tis.{name}" value {{ string_value: "{value}" }} }} ' for name, value in parameters.items()
    )
    head = "" if "max_batch_size" in text else "max_batch_size: 8 "
    return parse_text(f'name: "m" backend: "onnxruntime" {head} {text} {TENSORS} {given}', "p")


def test_without_extensions_everything_is_off() -> None:
    assert extensions(config()) == ExtensionSpec()
    check_extensions(config())


def test_all_extensions_are_read() -> None:
    made = config(
        pad_inputs="IDS:0, MASK :0,HALF:-inf",
        length_buckets="32, 64,128",
        sliced_outputs="LOGITS",
        latency_goal_us="2500",
        timeout_covers_execution="True",
        load_limit_s="0",
        execution_limit_s="2.5",
        memory_limit_bytes="1048576",
    )
    check_extensions(made)
    padding = PaddingSpec({"IDS": 0.0, "MASK": 0.0, "HALF": float("-inf")}, (32, 64, 128), ("LOGITS",))
    assert extensions(made) == ExtensionSpec(padding, 2500, True, 0.0, 2.5, 1048576)
    assert list(padding.inputs) == ["IDS", "MASK", "HALF"]


def test_without_a_value_zeros_fill_up() -> None:
    check_extensions(config(pad_inputs="IDS"))
    assert extensions(config(pad_inputs="IDS")).padding == PaddingSpec({"IDS": 0.0})


@pytest.mark.parametrize("value", ["255", "0"])
def test_any_value_of_the_datatype_may_fill_up(value: str) -> None:
    check_extensions(config(pad_inputs=f"BYTE:{value}"))


def test_a_draft_without_tensors_is_read_and_its_faults_are_left_for_later() -> None:
    text = (
        'name: "m" parameters { key: "tis.pad_inputs" value { string_value: "A:0, B:x" } } '
        'parameters { key: "tis.length_buckets" value { string_value: "8, no, 4" } } '
        'parameters { key: "tis.latency_goal_us" value { string_value: "soon" } } '
        'parameters { key: "tis.moon" value { string_value: "1" } }'
    )
    assert extensions(parse_text(text, "p")) == ExtensionSpec(PaddingSpec({"A": 0.0}, (4, 8)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"moon": "1"},
            "unknown parameter 'tis.moon' for m; those of this server are tis.pad_inputs, tis.length_buckets",
        ),
        ({"latency_goal_us": "soon"}, "'tis.latency_goal_us' of m must hold a number of microseconds; got 'soon'"),
        ({"latency_goal_us": "²"}, "'tis.latency_goal_us' of m must hold a number of microseconds"),
        ({"load_limit_s": "-1"}, "'tis.load_limit_s' of m must hold a number of seconds; got '-1'"),
        ({"execution_limit_s": "1e3"}, "'tis.execution_limit_s' of m must hold a number of seconds; got '1e3'"),
        ({"reload": "first"}, "'tis.reload' of m must hold one of beside, unload_first; got 'first'"),
        ({"memory_limit_bytes": "2G"}, "'tis.memory_limit_bytes' of m must hold a number of bytes; got '2G'"),
        ({"timeout_covers_execution": "perhaps"}, "must hold true or false; got 'perhaps'"),
        ({"length_buckets": "8"}, "parameter 'tis.length_buckets' of m needs 'tis.pad_inputs', which is not given"),
        ({"sliced_outputs": "LOGITS"}, "parameter 'tis.sliced_outputs' of m needs 'tis.pad_inputs'"),
        ({"pad_inputs": ""}, "must hold names of inputs; got ''"),
        ({"pad_inputs": "MOON"}, "names of inputs that have a variable dimension; got 'MOON'"),
        ({"pad_inputs": "FIXED"}, "names of inputs that have a variable dimension; got 'FIXED'"),
        ({"pad_inputs": "IDS, IDS:1"}, "must hold each input once; got 'IDS twice'"),
        ({"pad_inputs": "IDS:none"}, "must hold numbers to fill with; got 'none'"),
        ({"pad_inputs": "IDS:0.5"}, "must hold a value of input 'IDS', which is INT64; got '0.5'"),
        ({"pad_inputs": "IDS:nan"}, "must hold a value of input 'IDS', which is INT64; got 'nan'"),
        ({"pad_inputs": "IDS:1e18"}, "must hold a value of input 'IDS', which is INT64; got '1e18'"),
        ({"pad_inputs": "MASK:2"}, "must hold a value of input 'MASK', which is BOOL; got '2'"),
        ({"pad_inputs": "BYTE:256"}, "must hold a value of input 'BYTE', which is UINT8; got '256'"),
        ({"pad_inputs": "BYTE:-1"}, "must hold a value of input 'BYTE', which is UINT8; got '-1'"),
        ({"pad_inputs": "HALF:1e6"}, "must hold a value of input 'HALF', which is FP16; got '1e6'"),
        ({"pad_inputs": "TEXT"}, "input 'TEXT' has data_type TYPE_STRING, which cannot be filled up"),
        ({"pad_inputs": "RAGGED"}, "input 'RAGGED' cannot be filled up and have 'allow_ragged_batch'"),
        ({"pad_inputs": "MAYBE"}, "input 'MAYBE' cannot be filled up and have 'optional'"),
        ({"pad_inputs": "FOLDED"}, "input 'FOLDED' cannot be filled up and have 'reshape'"),
        ({"pad_inputs": "IDS", "length_buckets": "8, 4"}, "must hold ascending lengths of at least 1; got '8, 4'"),
        ({"pad_inputs": "IDS", "length_buckets": "0, 4"}, "must hold ascending lengths of at least 1"),
        ({"pad_inputs": "IDS", "length_buckets": "4, 4"}, "must hold ascending lengths of at least 1"),
        ({"pad_inputs": "IDS", "length_buckets": "4, x"}, "must hold ascending lengths of at least 1"),
        ({"pad_inputs": "IDS", "length_buckets": ""}, "must hold ascending lengths of at least 1"),
        (
            {"pad_inputs": "IDS", "sliced_outputs": "SCORE"},
            "names of outputs that have a variable dimension; got 'SCORE'",
        ),
        (
            {"pad_inputs": "IDS", "sliced_outputs": "MOON"},
            "names of outputs that have a variable dimension; got 'MOON'",
        ),
        ({"pad_inputs": "IDS", "sliced_outputs": "FOLDED"}, "output 'FOLDED' cannot be cut and have 'reshape'"),
        ({"pad_inputs": "IDS", "sliced_outputs": "SPREAD"}, "cannot be cut and be a target of 'batch_output'"),
    ],
)
def test_what_cannot_be_read_or_cannot_work_is_told(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(TisError) as caught:
        check_extensions(config(**parameters))
    assert caught.value.code is Code.INVALID_ARG
    assert words in caught.value.message
    extensions(config(**parameters))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batch_size: 0", "needs a max_batch_size of at least 1; got 0"),
        ("sequence_batching { }", "cannot be used with sequence_batching"),
        ("ensemble_scheduling { }", "cannot be used with an ensemble"),
    ],
)
def test_padding_is_refused_where_there_are_no_batches_to_fill_up(text: str, words: str) -> None:
    with pytest.raises(TisError, match=words):
        check_extensions(config(text, pad_inputs="IDS"))


def test_padding_is_refused_for_models_that_get_each_request_by_itself() -> None:
    made = config(pad_inputs="IDS")
    made.backend = "python"
    with pytest.raises(TisError, match="cannot be used with backend 'python'"):
        check_extensions(made)
