"""A wrong ensemble is rejected in Triton's words; the texts were taken from a Triton 2.51 that refused these configs."""

import pytest

from tis.config.check import check_config
from tis.config.defaults import normalized
from tis.config.source import parse_text
from tis.errors import Code, TisError

STEP = 'step { model_name: "a" model_version: -1 input_map { key: "A" value: "I" } output_map { key: "X" value: "O" } }'
FLOW = 'input { name: "I" data_type: TYPE_FP32 dims: 1 } output { name: "O" data_type: TYPE_FP32 dims: 1 }'


def check(text: str) -> None:
    check_config(normalized(parse_text(f'name: "m" {text}', "p")))


def fault(text: str) -> str:
    with pytest.raises(TisError) as raised:
        check(text)
    assert raised.value.code == Code.INVALID_ARG
    return raised.value.message


def step(inputs: dict[str, str], outputs: dict[str, str]) -> str:
    maps = [f'input_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in inputs.items()]
    maps += [f'output_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in outputs.items()]
    return f'step {{ model_name: "a" model_version: -1 {" ".join(maps)} }}'


def flow(*steps: str, inputs: str = "I", outputs: str = "O") -> str:
    sides = [f'input {{ name: "{name}" data_type: TYPE_FP32 dims: 1 }}' for name in inputs.split()]
    sides += [f'output {{ name: "{name}" data_type: TYPE_FP32 dims: 1 }}' for name in outputs.split()]
    return f'platform: "ensemble" {" ".join(sides)} ensemble_scheduling {{ {" ".join(steps)} }}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'backend: "python" ensemble_scheduling { }',
            "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble",
        ),
        (
            'platform: "ensemble" instance_group { } ensemble_scheduling { }',
            "instance group should not be specified for ensemble 'm'",
        ),
        (
            'platform: "ensemble" optimization { } ensemble_scheduling { }',
            "optimization should not be specified for ensemble 'm'",
        ),
        (
            'platform: "ensemble" model_warmup { } ensemble_scheduling { }',
            "model_warmup can not be specified for ensemble 'm'",
        ),
        ('platform: "ensemble" ensemble_scheduling { }', "must specify 'step' for ensemble 'm'"),
        (
            'platform: "ensemble" ensemble_scheduling { step { } }',
            "must specify 'model_name' in step 0 of ensemble 'm'",
        ),
        (
            f'platform: "ensemble" ensemble_scheduling {{ {STEP} step {{ model_name: "b" }} }}',
            "must specify 'input_map' in step 1 of ensemble 'm'",
        ),
        (
            flow(step({"A": "I"}, {"X": "O"}), step({"A": "I"}, {"X": "O"})),
            "ensemble tensor 'O' can appear in an output map only once for ensemble 'm' step 1",
        ),
        (
            flow(step({"A": "I"}, {"X": "O"}), inputs="I J"),
            "ensemble input 'J' for ensemble m' is not used",
        ),
        (
            flow(step({"A": "I"}, {"X": "O"}), outputs="O P"),
            "ensemble output 'P' for ensemble m' is not used",
        ),
        (
            flow(step({"A": "I", "B": "zz"}, {"X": "O"})),
            "output 'O' for ensemble 'm' is not written: at least one of its depending tensors, 'zz', is not connected",
        ),
        (
            flow(step({"A": "I", "B": "t"}, {"X": "u"}), step({"A": "u"}, {"X": "t", "Y": "O"})),
            "output 'O' for ensemble 'm' is not written: at least one of its depending tensors, 't', is not connected",
        ),
        (
            flow(step({"A": "I"}, {"X": "O", "Y": "q"})),
            "ensemble tensor 'q' is unused in ensemble 'm'",
        ),
        (
            flow(step({"A": "I"}, {"X": "O"}), step({"A": "t"}, {"X": "u"}), step({"A": "u"}, {"X": "t"})),
            "ensemble tensor 'u' is unused in ensemble 'm'",
        ),
        (flow(step({"A": "I"}, {"X": "O"}), outputs="O I"), "ensemble output 'I' is an input of ensemble 'm' as well"),
        (
            flow(step({"A": "I"}, {"X": "O", "Y": "J"}), step({"A": "J"}, {"X": "P"}), inputs="I J", outputs="O P"),
            "ensemble tensor 'J' is an input of ensemble 'm' and an output of one of its steps",
        ),
    ],
)
def test_a_wrong_ensemble_is_rejected_in_tritons_words(text: str, words: str) -> None:
    assert fault(text).startswith(words)


@pytest.mark.parametrize(
    "text",
    [
        f'platform: "ensemble" {FLOW} ensemble_scheduling {{ {STEP} }}',
        flow(step({"A": "t"}, {"X": "O"}), step({"A": "I"}, {"X": "t"})),
        flow(step({"A": "I", "B": "I"}, {"X": "O"}), step({"A": "O"}, {"X": "P"}), outputs="P O"),
    ],
)
def test_a_right_ensemble_passes(text: str) -> None:
    check(text)
