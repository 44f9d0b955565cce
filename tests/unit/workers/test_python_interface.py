"""What a model finds in `triton_python_backend_utils`: every name that Triton 2.51 has there, as its `dir()` tells."""

import importlib
from types import ModuleType
from typing import Final

import pytest

#: `dir()` of the module and its classes in Triton 2.51, without what every object and module has.
RECORDED: Final = {
    "": (
        "InferenceRequest InferenceResponse Logger MetricFamily ModelConfig PreferredMemory TRITONSERVER_MEMORY_CPU "
        "TRITONSERVER_MEMORY_GPU TRITONSERVER_REQUEST_FLAG_SEQUENCE_END TRITONSERVER_REQUEST_FLAG_SEQUENCE_START "
        "TRITONSERVER_REQUEST_RELEASE_ALL TRITONSERVER_REQUEST_RELEASE_RESCHEDULE TRITONSERVER_RESPONSE_COMPLETE_FINAL "
        "TRITON_STRING_TO_NUMPY Tensor TritonError TritonModelException deserialize_bytes_tensor "
        "get_input_config_by_name get_input_tensor_by_name get_model_dir get_output_config_by_name "
        "get_output_tensor_by_name is_model_ready json load_model np numpy_to_triton_type serialize_byte_tensor struct "
        "triton_string_to_numpy triton_to_numpy_type unload_model using_decoupled_model_transaction_policy"
    ),
    "Tensor": "__dlpack__ __dlpack_device__ as_numpy from_dlpack is_cpu name shape to_dlpack triton_dtype",
    "InferenceRequest": (
        "async_exec correlation_id exec flags get_response_sender inputs is_cancelled parameters request_id "
        "requested_output_names set_flags set_release_flags timeout trace"
    ),
    "InferenceResponse": "error has_error output_tensors",
    "TritonError": (
        "ALREADY_EXISTS CANCELLED INTERNAL INVALID_ARG NOT_FOUND UNAVAILABLE UNKNOWN UNSUPPORTED __ErrorCode code message"
    ),
    "Logger": "ERROR INFO LogLevel VERBOSE WARNING log log_error log_info log_verbose log_warn",
    "MetricFamily": "COUNTER GAUGE HISTOGRAM Metric",
    "ModelConfig": (
        "add_input add_output as_dict set_dynamic_batching set_max_batch_size set_model_transaction_policy"
    ),
    "TritonModelException": "add_note args with_traceback",
}
#: The module below it, without what is for Triton alone.
RECORDED_BELOW: Final = {
    "": (
        "COUNTER GAUGE HISTOGRAM InferenceRequest InferenceResponse InferenceResponseSender InferenceTrace Logger "
        "MemoryType Metric MetricFamily MetricKind PreferredMemory TRITONSERVER_MEMORY_CPU TRITONSERVER_MEMORY_GPU Tensor "
        "TritonError TritonModelException is_model_ready load_model unload_model"
    ),
    "InferenceResponseSender": "is_cancelled send",
    "InferenceTrace": "get_context",
    "Metric": "increment observe set value",
    "MetricKind": "COUNTER GAUGE HISTOGRAM",
    "MemoryType": "TRITONSERVER_MEMORY_CPU TRITONSERVER_MEMORY_GPU",
}


def missing(module: ModuleType, recorded: dict[str, str]) -> dict[str, set[str]]:
    found = {}
    for name, names in recorded.items():
        lacking = set(names.split()) - set(dir(getattr(module, name) if name else module))
        if lacking:
            found[name] = lacking
    return found


def test_every_name_of_tritons_utilities_is_there() -> None:
    assert missing(importlib.import_module("triton_python_backend_utils"), RECORDED) == {}


def test_every_name_of_the_module_below_is_there() -> None:
    assert missing(importlib.import_module("c_python_backend_utils"), RECORDED_BELOW) == {}


def test_enumerations_have_tritons_numbers() -> None:
    below = importlib.import_module("c_python_backend_utils")
    assert [int(each) for each in (below.COUNTER, below.GAUGE, below.HISTOGRAM)] == [0, 1, 2]
    assert int(below.TRITONSERVER_MEMORY_GPU) == 0
    assert int(below.TRITONSERVER_MEMORY_CPU) == 1


@pytest.mark.parametrize("arguments", [(), (0,), ("GPU",)])
def test_preferred_memory_takes_a_kind_of_memory(arguments: tuple[object, ...]) -> None:
    utilities = importlib.import_module("triton_python_backend_utils")
    utilities.PreferredMemory(utilities.TRITONSERVER_MEMORY_GPU, 3)
    with pytest.raises(TypeError):
        utilities.PreferredMemory(*arguments)
