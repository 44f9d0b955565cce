"""A generate call: one flat JSON object whose members are inputs by name, and parameters of the model otherwise."""

from typing import Any, Final

from tis.contracts.inference import InferRequest, InputTensor, id_prefix
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.plan import Plan, make_plan
from tis.errors import TisError, internal, invalid
from tis_frontend.http import json_tensor, json_text
from tis_frontend.http.infer_request import HttpInfer
from tis_frontend.http.json_form import wrong_type
from tis_frontend.http.parameters import own

_ALIGNMENT_BYTES: Final = 64
_NESTED: Final = "parameters"


def parse(spec: ModelSpec, body: bytes | bytearray, most_bytes: int) -> tuple[HttpInfer, Plan]:
    """The checked request of a generate call, its tensors as bytes to be placed.

    Raises:
        TisError: in Triton's words; INTERNAL (500) for JSON of the wrong form, INVALID_ARG for wrong content.
    """
    document = json_text.parse(body, "failed to parse the request JSON buffer")
    client_id = document.get("id", "") if type(document) is dict else ""
    if type(client_id) is not str:
        raise wrong_type("id", "string")
    if type(document) is not dict:
        raise internal("attempt to get members for non-object")
    call = HttpInfer(InferRequest(spec.name, spec.version, client_id, []), {}, False, [], 0)
    _read(spec, call, document, most_bytes, nested=False)
    return call, make_plan(spec, call.request)


def _read(spec: ModelSpec, call: HttpInfer, members: dict[str, Any], most_bytes: int, *, nested: bool) -> None:
    for name, value in members.items():
        if name == _NESTED and not nested:
            _read_nested(spec, call, value, most_bytes)
        elif name in spec.inputs_by_name:
            _add_input(spec, call, spec.inputs_by_name[name], value, most_bytes)
        else:
            call.request.parameters[name] = own(name, value)


def _read_nested(spec: ModelSpec, call: HttpInfer, value: Any, most_bytes: int) -> None:
    if type(value) is not dict:
        raise internal(f"Expected JSON object for keyword: '{_NESTED}': attempt to access JSON non-object as object")
    try:
        _read(spec, call, value, most_bytes, nested=True)
    except TisError as error:
        raise TisError(error.code, f"Converting keyword: '{_NESTED}': {error.message}") from None


def _add_input(spec: ModelSpec, call: HttpInfer, expected: TensorSpec, value: Any, most_bytes: int) -> None:
    data = value if type(value) is list else [value]
    datatype, name = expected.datatype, expected.name
    request = call.request
    if any(tensor.name == name for tensor in request.inputs):
        raise invalid(f"{id_prefix(request.client_id)}input '{name}' already exists in request")
    shape = _shape(spec, expected, len(data))
    # The number of elements is that of the outermost list, so that lists inside it must hold one element each.
    content = json_tensor.encode(name, datatype, shape, data) if data else b""
    if call.block_bytes + len(content) > most_bytes:
        raise invalid(
            f"request size of {call.block_bytes} bytes with input '{name}' of size {len(content)} bytes exceeds the "
            f"maximum allowed input size of {most_bytes}. Use --http-max-input-size to increase the limit."
        )
    start = -(-call.block_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    tensor = InputTensor(name, datatype, shape, len(content), start)
    request.inputs.append(tensor)
    call.json_data.append((tensor, content))
    call.block_bytes = start + len(content)


def _shape(spec: ModelSpec, expected: TensorSpec, count: int) -> tuple[int, ...]:
    """Fixed dimensions take their part of the elements, the innermost variable one takes the rest, others are 1.

    The batch dimension is the outermost variable one.
    """
    shape = [-1, *expected.shape] if spec.max_batch_size else list(expected.shape)
    left = count
    for dim in shape:
        if dim != -1:
            if not dim or left % dim:
                raise _no_shape(expected.name)
            left //= dim
    for position in reversed(range(len(shape))):
        if shape[position] == -1:
            shape[position], left = left, 1
    if left != 1:
        raise _no_shape(expected.name)
    return tuple(shape)


def _no_shape(name: str) -> TisError:
    return invalid(f"The schema can not convert input '{name}' to tensor with proper shape")
