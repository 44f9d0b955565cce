"""Who checks a config is told of every fault, each with its field; who loads it, of the first: the one that Triton tells."""

from collections.abc import Callable

import pytest

from tis.config.agreement import check_agreement
from tis.config.check import check_config
from tis.config.check_extensions import check_extensions
from tis.config.defaults import normalized
from tis.config.ensemble_steps import check_steps
from tis.config.fault import ConfigFault, Report
from tis.config.proto import Message
from tis.config.source import parse_text
from tis.config.spec import model_spec
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import TisError

SIGNATURE = ModelSignature(
    (
        TensorSignature("A", "FP32", (-1, 2)),
        TensorSignature("START", "FP32", (-1, 1)),
        TensorSignature("SCALAR", "FP32", ()),
    ),
    (TensorSignature("B", "INT64", (-1, 3)), TensorSignature("STATE", "FP32", (-1, 1))),
)


def faults_of(check: Callable[[Report], object]) -> list[ConfigFault]:
    """All faults, and the first among them is the one that a load ends with."""
    found: list[TisError] = []
    check(found.append)

    def first(fault: TisError) -> None:
        raise fault

    with pytest.raises(TisError) as raised:
        check(first)
    assert raised.value.message == found[0].message
    faults = [fault for fault in found if isinstance(fault, ConfigFault)]
    assert len(faults) == len(found)
    return faults


def fields(check: Callable[[Report], object]) -> list[str]:
    return [fault.field for fault in faults_of(check)]


def config(text: str) -> Message:
    return normalized(parse_text(f'name: "m" {text}', "p"))


def test_every_fault_of_a_sequence_batcher_is_told() -> None:
    made = config("""
        backend: "python" max_batch_size: 4 response_cache { enable: true }
        sequence_batching {
          direct { minimum_slot_utilization: 2 }
          control_input { control { kind: CONTROL_SEQUENCE_START } }
          control_input { name: "C" control { kind: CONTROL_SEQUENCE_START int32_false_true: 1 } }
          control_input {
            name: "C"
            control { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] bool_false_true: [ false, true ] }
            control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 int32_false_true: [ 0, 1 ] }
          }
          state {
            input_name: "S" output_name: "S" data_type: TYPE_FP32 dims: [ 2, 3 ]
            initial_state { data_type: TYPE_INT8 dims: [ 4, -1 ] }
            initial_state { name: "i" data_type: TYPE_FP32 dims: 1 zero_data: true }
          }
        }""")
    controls, state = "sequence_batching.control_input", "sequence_batching.state[0].initial_state"
    assert fields(lambda report: check_config(made, report)) == [
        "response_cache.enable",
        f"{controls}[0].name",
        f"{controls}[0].control[0]",
        f"{controls}[1].control[0].kind",
        f"{controls}[1].control[0].int32_false_true",
        f"{controls}[2].name",
        f"{controls}[2].control[0].bool_false_true",
        f"{controls}[2].control[1].int32_false_true",
        f"{controls}[2].control[1].data_type",
        state,
        f"{state}[0].data_type",
        f"{state}[0].name",
        f"{state}[0].dims[0]",
        f"{state}[0].dims[1]",
        f"{state}[0]",
        f"{state}[1].dims",
        "sequence_batching.direct.minimum_slot_utilization",
    ]


def test_every_preferred_size_of_the_oldest_strategy_is_looked_at() -> None:
    made = config(
        'backend: "python" max_batch_size: 4 sequence_batching { oldest { preferred_batch_size: [ 0, 2, 5, -1 ] } }'
    )
    at = "sequence_batching.oldest.preferred_batch_size"
    assert fields(lambda report: check_config(made, report)) == [f"{at}[0]", f"{at}[2]", f"{at}[3]"]


def step(inputs: dict[str, str], outputs: dict[str, str], model: str = "a") -> str:
    maps = [f'input_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in inputs.items()]
    maps += [f'output_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in outputs.items()]
    return f'step {{ model_name: "{model}" model_version: -1 {" ".join(maps)} }}'


def ensemble(*steps: str, inputs: str = "I", outputs: str = "O", more: str = "") -> Message:
    sides = [f'input {{ name: "{name}" data_type: TYPE_FP32 dims: 1 }}' for name in inputs.split()]
    sides += [f'output {{ name: "{name}" data_type: TYPE_FP32 dims: 1 }}' for name in outputs.split()]
    return config(f'platform: "ensemble" {more} {" ".join(sides)} ensemble_scheduling {{ {" ".join(steps)} }}')


def test_every_part_that_an_ensemble_must_not_have_or_lacks_is_told() -> None:
    made = ensemble(
        "step { }",
        step({"A": "I"}, {"X": "O", "Y": "O"}),
        inputs="I J",
        more="instance_group { } optimization { } model_warmup { }",
    )
    at = "ensemble_scheduling.step"
    assert fields(lambda report: check_config(made, report)) == [
        "instance_group",
        "optimization",
        "model_warmup",
        f"{at}[0].model_name",
        f"{at}[0].input_map",
        f"{at}[0].output_map",
        f'{at}[1].output_map["Y"]',
    ]


def test_every_fault_in_the_flow_of_tensors_is_told_once() -> None:
    made = ensemble(
        step({"A": "I", "B": "nowhere"}, {"X": "M"}),
        step({"A": "M"}, {"X": "O", "Y": "nobody"}),
        step({"A": "K"}, {"X": "K2"}),
        inputs="I J K",
        outputs="O P K2 K",
    )
    found = faults_of(lambda report: check_config(made, report))
    assert [(fault.field, fault.message.partition(" for ")[0].partition(" in ")[0]) for fault in found] == [
        ("input[1]", "ensemble input 'J'"),
        ('ensemble_scheduling.step[0].input_map["B"]', "output 'O'"),
        ("output[1]", "ensemble output 'P'"),
        ("output[3]", "ensemble output 'K' is an input of ensemble 'm' as well; let a step copy it"),
        ('ensemble_scheduling.step[1].output_map["Y"]', "ensemble tensor 'nobody' is unused"),
    ]


def test_every_fault_of_an_ensembles_steps_is_told() -> None:
    whole = config(
        'backend: "python" max_batch_size: 1 input { name: "A" data_type: TYPE_INT8 dims: [ 1, 1 ] } '
        'input { name: "B" data_type: TYPE_FP32 dims: 1 } output { name: "X" data_type: TYPE_FP32 dims: 1 }'
    )
    made = ensemble(step({"A": "I", "Z": "I"}, {"X": "O", "Y": "P"}), outputs="O P", more="max_batch_size: 2")
    models = {"a": model_spec(whole, version=1, model_path="/m")}
    at = "ensemble_scheduling.step[0]"
    assert fields(lambda report: check_steps(model_spec(made, version=1, model_path="/e"), models, report)) == [
        "max_batch_size",
        f'{at}.input_map["Z"]',
        f'{at}.input_map["A"]',
        f'{at}.input_map["A"]',
        f"{at}.input_map",
        f'{at}.output_map["Y"]',
    ]


def test_every_fault_of_an_extension_is_told() -> None:
    texts = {
        "tis.moon": "1",
        "tis.latency_goal_us": "soon",
        "tis.load_limit_s": "x",
        "tis.memory_limit_bytes": "2G",
        "tis.pad_inputs": "MOON, A:x, A",
        "tis.length_buckets": "4, 2",
        "tis.sliced_outputs": "SUN",
    }
    given = " ".join(f'parameters {{ key: "{key}" value {{ string_value: "{text}" }} }}' for key, text in texts.items())
    made = config(f'backend: "python" input {{ name: "A" data_type: TYPE_INT8 dims: -1 optional: true }} {given}')
    found = fields(lambda report: check_extensions(made, report))
    assert {field: found.count(field) for field in found} == {
        'parameters["tis.moon"]': 1,
        'parameters["tis.latency_goal_us"].string_value': 1,
        'parameters["tis.load_limit_s"].string_value': 1,
        'parameters["tis.memory_limit_bytes"].string_value': 1,
        # No batches, a backend that takes requests, no such input, the first A thrice, and the other once.
        'parameters["tis.pad_inputs"].string_value': 7,
        'parameters["tis.length_buckets"].string_value': 1,
        'parameters["tis.sliced_outputs"].string_value': 1,
    }


def test_every_difference_from_the_model_is_told() -> None:
    made = config("""
        max_batch_size: 2
        input { name: "A" data_type: TYPE_INT8 dims: 3 optional: true } input { name: "MOON" }
        output { name: "B" data_type: TYPE_FP32 dims: [ 3, 1 ] } output { name: "SUN" }
        batch_input { kind: BATCH_ELEMENT_COUNT target_name: [ "A", "STARS" ] data_type: TYPE_INT32 source_input: "A" }
        sequence_batching {
          control_input { name: "END" control { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } }
          control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
          state { input_name: "SCALAR" output_name: "SKY" data_type: TYPE_FP32 dims: 1 }
        }""")
    assert fields(lambda report: check_agreement(made, SIGNATURE, report)) == [
        "sequence_batching.control_input[0].name",
        "sequence_batching.control_input[1]",
        "max_batch_size",
        "sequence_batching.state[0].output_name",
        "input",
        "input[0].optional",
        "input[0].data_type",
        "input[0].dims",
        "input[1].name",
        "output[0].data_type",
        "output[0].dims",
        "output[1].name",
        "batch_input[0].target_name[0]",
        "batch_input[0].data_type",
        "batch_input[0].target_name[0]",
        "batch_input[0].target_name[1]",
    ]
