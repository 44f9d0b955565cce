"""Constants and small functions of `triton_python_backend_utils`."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import decode_bytes_flat, encode_bytes
from tis_workers.python_api.request import InferenceRequest
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.tensor import Tensor

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START: Final = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END: Final = 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL: Final = 1
TRITONSERVER_REQUEST_RELEASE_ALL: Final = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE: Final = 2

#: numpy types by names of the config. There is none for TYPE_BF16.
TRITON_STRING_TO_NUMPY: Final[dict[str, Any]] = {
    "TYPE_BOOL": bool,
    "TYPE_UINT8": np.uint8,
    "TYPE_UINT16": np.uint16,
    "TYPE_UINT32": np.uint32,
    "TYPE_UINT64": np.uint64,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}

#: The numbers of config datatypes, 1 for TYPE_BOOL and so on in the order above.
_NUMBERED: Final = (np.bool_, *list(TRITON_STRING_TO_NUMPY.values())[1:])


def triton_string_to_numpy(triton_type_string: str) -> Any:
    """The numpy type of a config's datatype, such as `TYPE_FP32`. Raises KeyError where there is none."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def triton_to_numpy_type(data_type: int) -> Any:
    """The numpy type of a datatype's number; None where there is none."""
    return _NUMBERED[data_type - 1] if 1 <= data_type <= len(_NUMBERED) else None


def numpy_to_triton_type(data_type: Any) -> int | None:
    """The number of a numpy type; None where there is none."""
    for number, known in enumerate(_NUMBERED, 1):
        if data_type == known:
            return number
    return len(_NUMBERED) if data_type == np.bytes_ else None


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """An input of a request; None where it has no such input."""
    for tensor in inference_request.inputs():
        if tensor.name() == name:
            return tensor
    return None


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """An output of a response; None where it has no such output."""
    for tensor in inference_response.output_tensors():
        if tensor.name() == name:
            return tensor
    return None


def get_input_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An input's part of a config; None where it has no such input."""
    return _named(model_config.get("input", ()), name)


def get_output_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An output's part of a config; None where it has no such output."""
    return _named(model_config.get("output", ()), name)


def using_decoupled_model_transaction_policy(model_config: dict[str, Any]) -> bool:
    """Whether a config says that the model is decoupled."""
    decoupled: bool = model_config.get("model_transaction_policy", {}).get("decoupled", False)
    return decoupled


def serialize_byte_tensor(input_tensor: npt.NDArray[Any]) -> bytes | tuple[()] | None:
    """A tensor of strings as it travels: each element behind its length in 4 bytes. None for other tensors."""
    if not input_tensor.size:
        return ()
    if input_tensor.dtype.kind not in "OS":
        return None
    return encode_bytes(input_tensor.astype(np.object_, copy=False))


def deserialize_bytes_tensor(encoded_tensor: bytes) -> "npt.NDArray[np.object_]":
    """What `serialize_byte_tensor` made, as a flat array of bytes.

    Raises:
        ValueError: the data end inside an element.
    """
    return decode_bytes_flat(encoded_tensor)


def _named(tensors: Any, name: str) -> dict[str, Any] | None:
    return next((tensor for tensor in tensors if tensor["name"] == name), None)
