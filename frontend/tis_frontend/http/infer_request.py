"""The body of an infer call: JSON header and binary tail to an `InferRequest` with its tensors in a block.

Order of reading and wording of errors are Triton's. Nothing here touches a socket.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor, id_prefix
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan, make_plan
from tis.contracts.validation import check_output_names
from tis.errors import TisError, internal, invalid
from tis_frontend.http import json_tensor, json_text
from tis_frontend.http.json_form import flag
from tis_frontend.http.parameters import classes, read_parameters
from tis_frontend.http.placement import REGION, read_output_place, read_place
from tis_frontend.model_table import ServedModel
from tis_frontend.regions import NO_REGIONS, RegionTable

_ALIGNMENT_BYTES = 64
_MOST_REMEMBERED = 256
_LONGEST_REMEMBERED_BYTES = 4096
_END_OF_UINT64 = 1 << 64
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


def planned(model: ServedModel, head: bytes, tail_bytes: int, regions: RegionTable = NO_REGIONS) -> HttpInfer:
    """The parsed and checked call; a head that was seen before is not parsed again.

    What is remembered of heads that name regions is forgotten when the regions change, see `ModelTable.forget_regions`.

    Raises:
        TisError: as `parse` and `make_plan`.
    """
    key = (head, tail_bytes)
    call: HttpInfer | None = model.remembered.get(key) or model.remembered_places.get(key)
    if call is not None:
        return call
    spec = model.spec
    call = parse(spec, head, tail_bytes, regions) if head else raw_binary(spec, tail_bytes)
    call.plan = make_plan(spec, call.request)
    # A head with an id or with data in it will not come again.
    if not call.request.client_id and not call.json_data and len(head) <= _LONGEST_REMEMBERED_BYTES:
        memory = model.remembered_places if call.plan.uses_regions else model.remembered
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[key] = call
    return call


def parse(
    spec: ModelSpec, head: bytes | bytearray | memoryview, tail_bytes: int, regions: RegionTable = NO_REGIONS
) -> HttpInfer:
    """Parse the JSON of an infer call whose binary tail of `tail_bytes` lies at the start of the request's block.

    Raises:
        TisError: in Triton's words; INTERNAL (500) for JSON of the wrong form, INVALID_ARG for wrong content.
    """
    document = json_text.parse(head, _PARSE_FAILED)
    if not isinstance(document, dict):
        document = {}
    client_id = document.get("id", "")
    if not isinstance(client_id, str):
        raise internal("Unable to parse 'id': attempt to access JSON non-string as string")
    request = InferRequest(spec.name, spec.version, client_id, [])
    parsed = HttpInfer(request, {}, all_binary=False, json_data=[], block_bytes=tail_bytes)
    if "parameters" in document:
        parsed.all_binary = read_parameters(request, document["parameters"])
    tail_left = _inputs(spec, document, parsed, tail_bytes, regions)
    if tail_left:
        raise invalid(f"unexpected additional input data for model '{spec.name}'")
    if "outputs" in document:
        for output in _array(document["outputs"], "outputs"):
            fields = _fields(output)
            name = _string(fields, "name")
            options = _options(fields)
            # Of an output that is named twice the first wish counts.
            parsed.binary.setdefault(name, flag(options, "binary_data"))
            count = classes(options)
            if count:
                request.classification[name] = count
            request.outputs.append(name)
            if options and REGION in options:
                request.placements[name] = read_output_place(options, regions, binary=parsed.binary[name])
        check_output_names(spec, request.outputs)
    return parsed


def raw_binary(spec: ModelSpec, tail_bytes: int) -> HttpInfer:
    """A call whose whole body is the one input of its model (header length 0); all outputs are answered as binary data.

    Raises:
        TisError: INVALID_ARG where the model's input cannot be deduced from a size.
    """
    try:
        tensor = _deduced(spec, tail_bytes)
    except TisError as error:
        raise TisError(error.code, id_prefix("") + error.message) from None
    return HttpInfer(InferRequest(spec.name, spec.version, "", [tensor]), {}, True, [], tail_bytes)


def _deduced(spec: ModelSpec, tail_bytes: int) -> InputTensor:
    """The one input of a model, its shape by the size of its data. Batches of raw data have one item."""
    if len(spec.inputs) != 1:
        raise invalid(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs in "
            f"'{spec.name}' model configuration"
        )
    tensor = spec.inputs[0]
    shape = list(tensor.shape)
    batch = (1,) if spec.max_batch_size else ()
    if tensor.datatype == "BYTES":
        if shape != [1]:
            raise invalid(f"For BYTE datatype raw input '{tensor.name}', the model must have input shape [1]")
        return InputTensor(tensor.name, tensor.datatype, (*batch, 1), tail_bytes)
    variable = [position for position, dim in enumerate(shape) if dim == -1]
    if len(variable) > 1:
        raise invalid(
            f"The shape of the raw input '{tensor.name}' can not be deduced because there are more than one "
            "variable-sized dimension"
        )
    element_bytes = ELEMENT_BYTES[tensor.datatype]
    if variable:
        fixed_bytes = prod(dim for dim in shape if dim != -1) * element_bytes
        shape[variable[0]] = tail_bytes // fixed_bytes if fixed_bytes else 0
    size_bytes = prod(shape) * element_bytes
    if size_bytes != tail_bytes:
        raise invalid(
            f"input byte size mismatch for input 'raw_input' for model '{spec.name}'. Expected {size_bytes}, got "
            f"{tail_bytes}"
        )
    return InputTensor(tensor.name, tensor.datatype, (*batch, *shape), tail_bytes)


def takes_raw_string(spec: ModelSpec) -> bool:
    """Whether a raw binary body is the content of one BYTES element, which then needs its length put before it."""
    return len(spec.inputs) == 1 and spec.inputs[0].datatype == "BYTES"


def _inputs(spec: ModelSpec, document: dict[str, Any], parsed: HttpInfer, tail_bytes: int, regions: RegionTable) -> int:
    """Read the inputs; returns how many bytes of the tail none of them claims."""
    if "inputs" not in document:
        raise internal("Unable to parse 'inputs': attempt to access non-existing object member 'inputs'")
    at = 0
    for entry in _array(document["inputs"], "inputs"):
        fields = _fields(entry)
        options = _options(fields)
        has_size = "binary_data_size" in options
        size = options.get("binary_data_size")
        placed = REGION in options
        _check_one_source("data" in fields, has_size, placed)
        name = _string(fields, "name")
        datatype = _string(fields, "datatype")
        shape = _shape(fields)
        if placed:
            place = read_place(options, regions)
            tensor = InputTensor(name, datatype, shape, place.size_bytes, place.start, place.region)
        elif not has_size:
            data = json_tensor.encode(name, datatype, shape, fields["data"]) if prod(shape) else b""
            start = -(-parsed.block_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
            tensor = InputTensor(name, datatype, shape, len(data), start)
            parsed.json_data.append((tensor, data))
            parsed.block_bytes = start + len(data)
        else:
            if type(size) is not int or not 0 <= size < _END_OF_UINT64:
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


def _check_one_source(has_data: bool, has_size: bool, placed: bool) -> None:
    if has_data + has_size + placed == 1:
        return
    named = [("data", has_data), ("binary_data_size", has_size), (REGION, placed)]
    names = " ".join(f"'{name}'" for name, there in named if there)
    given = f"But set {names}" if names else "But no field is set"
    raise invalid(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. {given}"
    )


def _shape(fields: dict[str, Any]) -> tuple[int, ...]:
    if "shape" not in fields:
        raise internal("Unable to parse 'shape': attempt to access non-existing object member 'shape'")
    dims = _array(fields["shape"], "shape")
    if any(type(dim) is not int or not 0 <= dim < _END_OF_UINT64 for dim in dims):
        raise _wrong_type("shape", "unsigned-integer")
    return tuple(dims)


def _array(value: Any, name: str) -> list[Any]:
    if type(value) is not list:
        raise _wrong_type(name, "array")
    return value


def _fields(value: Any) -> dict[str, Any]:
    """The members of what should be an object; anything else has none, as in Triton."""
    return value if type(value) is dict else {}


def _string(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise internal(f"Unable to parse '{name}': attempt to access non-existing object member '{name}'")
    value = fields[name]
    if type(value) is not str:
        raise _wrong_type(name, "string")
    return value


def _wrong_type(name: str, kind: str) -> TisError:
    return internal(f"Unable to parse '{name}': attempt to access JSON non-{kind} as {kind}")


def _options(fields: dict[str, Any]) -> dict[str, Any]:
    """The `parameters` of an input or output; what is no object counts as none, as in Triton."""
    return _fields(fields.get("parameters"))
