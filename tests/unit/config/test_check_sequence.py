import pytest

from tis.config.check import check_config
from tis.config.defaults import normalized
from tis.config.source import parse_text
from tis.errors import Code, TisError

START, CORRID = "kind: CONTROL_SEQUENCE_START", "kind: CONTROL_SEQUENCE_CORRID"


def fault(text: str) -> str:
    with pytest.raises(TisError) as caught:
        check_config(normalized(parse_text(f'name: "m" {text}', "p")))
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def sequence(text: str) -> str:
    return f'backend: "python" max_batch_size: 4 sequence_batching {{ {text} }}'


def control(text: str, name: str = "C") -> str:
    return f'control_input {{ name: "{name}" control {{ {text} }} }} '


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (control(START, name=""), "sequence batching control tensor must have a name for m"),
        (
            control(START + " int32_false_true: [0, 1]") * 2,
            "sequence batching control tensor 'C' is specified for multiple control kinds for m",
        ),
        (
            control(START + " int32_false_true: [0, 1]") + control(START + " int32_false_true: [0, 1]", "D"),
            "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m",
        ),
        (
            control(START),
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
            "CONTROL_SEQUENCE_START for m",
        ),
        (
            control(START + " int32_false_true: [0, 1] bool_false_true: [false, true]"),
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' for "
            "CONTROL_SEQUENCE_START for m; got int32_false_true, bool_false_true",
        ),
        (
            control(START + " fp32_false_true: [0, 1, 2]"),
            "sequence batching control 'fp32_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_START for m; got 3",
        ),
        (
            control(CORRID + " data_type: TYPE_FP32"),
            "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, TYPE_INT64, "
            "TYPE_UINT32, TYPE_INT32 and TYPE_STRING; got TYPE_FP32",
        ),
        (
            control(CORRID + " data_type: TYPE_INT32 int32_false_true: [0, 1]"),
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
            "CONTROL_SEQUENCE_CORRID for m",
        ),
        (
            "oldest { preferred_batch_size: 0 }",
            "sequence batching preferred batch size must be positive for m; got 0",
        ),
        (
            "oldest { preferred_batch_size: 5 }",
            "sequence batching preferred batch size must be <= max batch size for m; got 5 with max_batch_size 4",
        ),
        (
            "direct { minimum_slot_utilization: 1.5 }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m; got 1.5",
        ),
        (
            "direct { minimum_slot_utilization: nan }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m; got nan",
        ),
    ],
)
def test_a_wrong_sequence_batcher_is_rejected_in_tritons_words(text: str, words: str) -> None:
    assert fault(sequence(text)) == words


def test_a_right_sequence_batcher_passes() -> None:
    text = control(START + " int32_false_true: [0, 1]") + control(CORRID + " data_type: TYPE_STRING", "D")
    config = parse_text('name: "m"' + sequence(text + "direct { minimum_slot_utilization: 0.5 }"), "p")
    check_config(normalized(config))
