"""Parameters of a request over HTTP: the reserved ones, their types, and those that go to the model."""

from typing import Any, Final

from tests.conformance.case import Case, case, infer, tensor

_INPUTS: Final = [tensor("INPUT0", "FP32", [1], [1])]

_PARAMETERS: Final[dict[str, Any]] = {
    "none": {},
    "a string": {"x": "y"},
    "an integer": {"x": 3},
    "a negative integer": {"x": -3},
    "a float": {"x": 1.5},
    "a bool": {"x": True},
    "null": {"x": None},
    "an array": {"x": [1]},
    "an object": {"x": {"y": 1}},
    "an integer beyond signed 64 bits": {"x": 2**63},
    "an integer beyond 64 bits": {"x": 2**64},
    "several": {"a": "x", "b": 1, "c": True, "d": 2.5},
    "of an empty name": {"": "x"},
    "an empty string": {"x": ""},
    "of Triton's own prefix": {"triton_x": 1},
    "triton_enable_empty_final_response": {"triton_enable_empty_final_response": True},
    "triton_final_response": {"triton_final_response": True},
    "headers": {"headers": "x"},
    "sequence_id": {"sequence_id": 5},
    "sequence_id of 0": {"sequence_id": 0},
    "sequence_id a string": {"sequence_id": "five"},
    "sequence_id negative": {"sequence_id": -5},
    "sequence_id a float": {"sequence_id": 1.5},
    "sequence_id null": {"sequence_id": None},
    "sequence_id a bool": {"sequence_id": True},
    "sequence_id a long string": {"sequence_id": "x" * 200},
    "sequence_start": {"sequence_start": True, "sequence_id": 5},
    "sequence_start a number": {"sequence_start": 1},
    "sequence_start a string": {"sequence_start": "true"},
    "sequence_end": {"sequence_end": True},
    "sequence_end a number": {"sequence_end": 0},
    "priority": {"priority": 1},
    "priority of 0": {"priority": 0},
    "priority negative": {"priority": -1},
    "priority a string": {"priority": "1"},
    "priority large": {"priority": 2**40},
    "timeout": {"timeout": 1000000},
    "timeout of 0": {"timeout": 0},
    "timeout negative": {"timeout": -1},
    "timeout a string": {"timeout": "1"},
    "timeout a float": {"timeout": 1.5},
    "binary_data_output": {"binary_data_output": True},
    "binary_data_output false": {"binary_data_output": False},
    "binary_data_output a number": {"binary_data_output": 1},
    "binary_data_output a string": {"binary_data_output": "true"},
    "binary_data_output null": {"binary_data_output": None},
    "binary_data_size": {"binary_data_size": 3},
}

CASES: Final[tuple[Case, ...]] = (
    *(
        case(name, infer("id_fp32", {"parameters": parameters, "inputs": _INPUTS}))
        for name, parameters in _PARAMETERS.items()
    ),
    case("null of an input", infer("id_fp32", {"inputs": [_INPUTS[0] | {"parameters": None}]})),
    case("of an input a string", infer("id_fp32", {"inputs": [_INPUTS[0] | {"parameters": {"x": "y"}}]})),
    case("of an output unknown", infer("id_fp32", {"inputs": _INPUTS, "outputs": [{"name": "OUTPUT0", "parameters": {"x": 1}}]})),
)  # fmt: skip
