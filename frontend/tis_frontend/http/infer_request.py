"""The body of an infer call: JSON header and binary tail to an `InferRequest` with its tensors in a block.

Order of reading and wording of errors are Triton's. Nothing here touches a socket.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.validation import check_output_names
from tis.errors import TisError, internal, invalid
from tis_frontend.http import json_tensor, json_text
from tis_frontend.model_table import ServedModel
from tis_frontend.plan import Plan, make_plan

_ALIGNMENT_BYTES = 64
_MOST_REMEMBERED = 256
_LONGEST_REMEMBERED_BYTES = 4096
_PARSE_FAILED = "failed to parse the request JSON buffer"


@dataclass(slots=True)
class HttpInfer:
    """A parsed call: the request, how its outputs are wanted, and the bytes of tensors that came as JSON."""

    request: InferRequest
    #: Names of outputs that are wanted as binary data; None where `all_binary` decides for every output.
    binary: dict[str, bool]
    all_binary: bool
    #: Bytes to be put at the start offsets of inputs given as JSON.
    json_data: list[tuple[InputTensor, bytes]]
    #: Bytes of the block that the tensors take in all.
    block_bytes: int
    #: The checked request; None until it is checked.
    plan: Plan | None = None
    #: The last response's outputs and how they were written, for the next response of the same form.
    rendered: tuple[Any, bytes, bytes] | None = None


def planned(model: ServedModel, head: bytes, tail_bytes: int) -> HttpInfer:
    """The parsed and checked call; a head that was seen before is not parsed again.

    Raises:
        TisError: as `parse` and `make_plan`.
    """
    key = (head, tail_bytes)
    call: HttpInfer | None = model.remembered.get(key)
    if call is not None:
        return call
    spec = model.spec
    call = parse(spec, head, tail_bytes) if head else raw_binary(spec, tail_bytes)
    call.plan = make_plan(spec, call.request)
    # A head with an id or with data in it will not come again.
    if not call.request.client_id and not call.json_data and len(head) <= _LONGEST_REMEMBERED_BYTES:
        if len(model.remembered) >= _MOST_REMEMBERED:
            model.remembered.clear()
        model.remembered[key] = call
    return call


def parse(spec: ModelSpec, head: bytes | bytearray | memoryview, tail_bytes: int) -> HttpInfer:
    """Parse the JSON of an infer call whose binary tail of `tail_bytes` lies at the start of the request's block.

    Raises:
        TisError: in Triton's words; INTERNAL (500) for JSON of the wrong form, INVALID_ARG for wrong content.
    """
    document = json_text.parse(head, _PARSE_FAILED)
    if not isinstance(document, dict):
        raise internal(f"{_PARSE_FAILED}: a JSON object is expected")
    client_id = document.get("id", "")
    if not isinstance(client_id, str):
        raise internal("Unable to parse 'id': attempt to access JSON non-string as string")
    request = InferRequest(spec.name, spec.version, client_id, [])
    parsed = HttpInfer(request, {}, all_binary=False, json_data=[], block_bytes=tail_bytes)
    parameters = document.get("parameters")
    if parameters is not None:
        parsed.all_binary = _flag(_object(parameters, "parameters"), "binary_data_output")
    tail_left = _inputs(spec, document, parsed, tail_bytes)
    if tail_left:
        raise invalid(f"unexpected additional input data for model '{spec.name}'")
    outputs = document.get("outputs")
    if outputs is not None:
        for output in _array(outputs, "outputs"):
            name = _string(_object(output, "outputs"), "name")
            options = output.get("parameters")
            parsed.binary[name] = options is not None and _flag(_object(options, "parameters"), "binary_data")
            request.outputs.append(name)
        check_output_names(spec, request.outputs)
    return parsed


def raw_binary(spec: ModelSpec, tail_bytes: int) -> HttpInfer:
    """A call whose whole body is the one input of its model (header length 0); all outputs are answered as binary data.

    Raises:
        TisError: INVALID_ARG where the model's input cannot be deduced from a size.
    """
    if len(spec.inputs) != 1:
        raise invalid(
            f"raw input is not supported for model '{spec.name}': raw binary requests need exactly one input, the model "
            f"has {len(spec.inputs)}"
        )
    tensor = spec.inputs[0]
    element_bytes = ELEMENT_BYTES[tensor.datatype]
    variable = [position for position, dim in enumerate(tensor.shape) if dim == -1]
    shape = list(tensor.shape)
    if not element_bytes or len(variable) > 1:
        raise invalid(f"failed to deduce the shape of raw input '{tensor.name}' for model '{spec.name}'")
    if variable:
        fixed_bytes = prod(dim for dim in shape if dim != -1) * element_bytes
        shape[variable[0]] = tail_bytes // fixed_bytes if fixed_bytes else 0
    full = (1, *shape) if spec.max_batch_size else tuple(shape)
    inputs = [InputTensor(tensor.name, tensor.datatype, full, tail_bytes)]
    return HttpInfer(InferRequest(spec.name, spec.version, "", inputs), {}, True, [], tail_bytes)


def _inputs(spec: ModelSpec, document: dict[str, Any], parsed: HttpInfer, tail_bytes: int) -> int:
    """Read the inputs; returns how many bytes of the tail none of them claims."""
    if "inputs" not in document:
        raise internal("Unable to parse 'inputs': attempt to access non-existing object member 'inputs'")
    at = 0
    for entry in _array(document["inputs"], "inputs"):
        fields = _object(entry, "inputs")
        options = fields.get("parameters")
        size = _object(options, "parameters").get("binary_data_size") if options is not None else None
        _check_one_source("data" in fields, size is not None)
        name = _string(fields, "name")
        datatype = _string(fields, "datatype")
        shape = _shape(fields)
        if size is None:
            data = json_tensor.encode(name, datatype, shape, fields["data"]) if prod(shape) else b""
            start = -(-parsed.block_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
            tensor = InputTensor(name, datatype, shape, len(data), start)
            parsed.json_data.append((tensor, data))
            parsed.block_bytes = start + len(data)
        else:
            if type(size) is not int or size < 0:
                raise _wrong_type("binary_data_size", "unsigned-integer")
            if at + size > tail_bytes:
                raise invalid(
                    f"unexpected size for input '{name}', expecting {at + size - tail_bytes} additional bytes for model "
                    f"'{spec.name}'"
                )
            tensor = InputTensor(name, datatype, shape, size, at)
            at += size
        parsed.request.inputs.append(tensor)
    return tail_bytes - at


def _check_one_source(has_data: bool, has_size: bool) -> None:
    if has_data != has_size:
        return
    given = "But set 'data' 'binary_data_size'" if has_data else "But no field is set"
    raise invalid(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. {given}"
    )


def _shape(fields: dict[str, Any]) -> tuple[int, ...]:
    if "shape" not in fields:
        raise internal("Unable to parse 'shape': attempt to access non-existing object member 'shape'")
    dims = _array(fields["shape"], "shape")
    if any(type(dim) is not int or dim < 0 for dim in dims):
        raise _wrong_type("shape", "unsigned-integer")
    return tuple(dims)


def _array(value: Any, name: str) -> list[Any]:
    if type(value) is not list:
        raise _wrong_type(name, "array")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise internal(f"Unable to parse '{name}': attempt to get member of a JSON non-object")
    return value


def _string(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise internal(f"Unable to parse '{name}': attempt to access non-existing object member '{name}'")
    value = fields[name]
    if type(value) is not str:
        raise _wrong_type(name, "string")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if type(value) is not bool:
        raise _wrong_type(name, "boolean")
    return value


def _wrong_type(name: str, kind: str) -> TisError:
    return internal(f"Unable to parse '{name}': attempt to access JSON non-{kind} as {kind}")
