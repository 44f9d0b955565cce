"""What a serialized DALI pipeline says of itself, and configs that are completed by it or contradict it. Without DALI."""

import json
from pathlib import Path
from typing import Any

import pytest

from tis.config.source import parse_text
from tis.config.spec import model_spec
from tis.contracts.model_spec import InstanceSpec
from tis.errors import Code, TisError
from tis_workers.backends.base import LoadContext
from tis_workers.backends.dali_config import completed_config
from tis_workers.backends.dali_definition import PipelineDefinition, PipelineTensor, definition_of

PIPELINE = PipelineDefinition(8, (PipelineTensor("IN", "UINT8", 1),), (PipelineTensor("__out_1", "FP32", 3),))
UNSAID = PipelineDefinition(8, (PipelineTensor("IN", "", None),), (PipelineTensor("__out_1", "", None),))


# ---- serialized pipelines ----------------------------------------------------------------------------------------------


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value & (1 << 64) - 1)
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def varint(value: int) -> bytes:
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def operator(kind: str, name: str, **arguments: int) -> bytes:
    given = b"".join(field(4, field(1, key) + field(2, "int64") + field(4, value)) for key, value in arguments.items())
    return field(5, field(1, kind) + field(3, b"\x0a\x01x") + given + field(5, name))


def serialized(*operators: bytes) -> bytes:
    output = field(1, "__out_1") + field(2, "cpu") + field(5, 9) + field(6, 3)
    # What else is in there is skipped: a negative number of a device, and fields of all forms.
    others = field(8, -99999) + bytes([16 << 3 & 0x7F | 0x80, 1, 0]) + bytes([9 << 3 | 5, 0, 0, 0, 0])
    return field(1, 1) + field(2, 8) + b"".join(operators) + field(7, output) + others


def test_inputs_and_outputs_are_read_and_everything_else_is_skipped() -> None:
    found = definition_of(
        serialized(operator("ExternalSource", "IN", dtype=0, ndim=1), operator("Cast", "__out_1", dtype=9)), "m"
    )
    assert found == PIPELINE
    said_nothing = definition_of(serialized(operator("ExternalSource", "IN", dtype=-1)), "m")
    assert said_nothing.inputs == (PipelineTensor("IN", "", None),)


@pytest.mark.parametrize("length", range(0, 90, 7))
def test_a_pipeline_that_was_cut_off_is_refused(length: int) -> None:
    whole = serialized(operator("ExternalSource", "IN", dtype=0, ndim=1))
    assert len(whole) > 90
    with pytest.raises(TisError, match="DALI Backend error: Failed to load model file of model 'm'") as caught:
        definition_of(whole[:length], "m")
    assert caught.value.code is Code.UNKNOWN


def test_an_operator_that_answers_bit_by_bit_is_refused() -> None:
    with pytest.raises(TisError, match="'experimental__inputs__Video' answers a request bit by bit") as caught:
        definition_of(serialized(operator("experimental__inputs__Video", "IN")), "m")
    assert caught.value.code is Code.UNSUPPORTED


# ---- configs -----------------------------------------------------------------------------------------------------------


def completed(
    folder: Path,
    text: str,
    pipeline: PipelineDefinition = PIPELINE,
    *,
    complete: bool = True,
    split: tuple[str, ...] = (),
) -> Any:
    (folder / "config.pbtxt").write_text(text)
    spec = model_spec(parse_text(f'name: "m" backend: "dali" {text}', "p"), version=1, model_path=folder)
    told = completed_config(LoadContext(spec, InstanceSpec("m_0", "CPU"), 1, complete), pipeline, split)
    return json.loads(told) if told else None


def test_a_silent_config_takes_everything_from_the_pipeline(tmp_path: Path) -> None:
    config = completed(tmp_path, "")
    (given,), (answered,) = config["input"], config["output"]
    assert (given["name"], given["data_type"], given["dims"]) == ("IN", "TYPE_UINT8", [-1])
    assert given["allow_ragged_batch"] is True
    assert (answered["name"], answered["data_type"], answered["dims"]) == ("__out_1", "TYPE_FP32", [-1, -1, -1])
    assert config["max_batch_size"] == 8
    assert "dynamic_batching" in config


def test_a_config_may_name_and_shape_outputs_by_their_places(tmp_path: Path) -> None:
    config = completed(tmp_path, 'max_batch_size: 3 output { name: "PICTURE" dims: [ 224, 224, 3 ] }')
    assert config["max_batch_size"] == 3
    assert [(each["name"], each["data_type"], each["dims"]) for each in config["output"]] == [
        ("PICTURE", "TYPE_FP32", [224, 224, 3])
    ]


def test_without_batches_samples_have_one_more_dimension_and_nothing_is_batched(tmp_path: Path) -> None:
    config = completed(tmp_path, "max_batch_size: 0  # one by one")
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [-1, -1])
    assert config["input"][0]["allow_ragged_batch"] is False
    assert "dynamic_batching" not in config


def test_an_output_that_is_split_has_one_dimension_less(tmp_path: Path) -> None:
    assert completed(tmp_path, "", split=("__out_1",))["output"][0]["dims"] == [-1, -1]


def test_a_config_that_must_not_be_completed_is_only_compared(tmp_path: Path) -> None:
    both = 'max_batch_size: 2 input { name: "IN" data_type: TYPE_UINT8 dims: [ -1 ] } '
    whole = both + 'output { name: "O" data_type: TYPE_FP32 dims: [ 1, 2, 3 ] }'
    assert completed(tmp_path, whole, complete=False) is None
    assert completed(tmp_path, whole, UNSAID, complete=False) is None
    with pytest.raises(TisError, match="number of outputs specified in the DALI pipeline"):
        completed(tmp_path, both, complete=False)
    with pytest.raises(TisError, match='Missing config for "IN" input'):
        completed(tmp_path, 'output { name: "O" data_type: TYPE_FP32 dims: [ 1, 2, 3 ] }', complete=False)


@pytest.mark.parametrize(
    ("text", "pipeline", "words"),
    [
        (
            'input { name: "OTHER" }',
            PIPELINE,
            "Configuration file contains config for OTHER but such input is not present",
        ),
        ('output { name: "A" } output { name: "B" }', PIPELINE, "Model config outputs: 2\nPipeline outputs: 1"),
        ('input { name: "IN" data_type: TYPE_FP32 }', PIPELINE, 'Mismatch of data_type config for "IN"'),
        ('input { name: "IN" dims: [ 2, 2 ] }', PIPELINE, 'Mismatch in number of dimensions for "IN"'),
        ("", UNSAID, 'Missing data_type config for "IN"'),
        ('input { name: "IN" data_type: TYPE_UINT8 }', UNSAID, 'Missing dims config for "IN"'),
        ("batch_input { }", PIPELINE, "batch inputs and batch outputs are not supported for DALI"),
    ],
)
def test_what_contradicts_the_pipeline_is_refused(
    tmp_path: Path, text: str, pipeline: PipelineDefinition, words: str
) -> None:
    with pytest.raises(TisError) as caught:
        completed(tmp_path, text, pipeline)
    assert words in caught.value.message
