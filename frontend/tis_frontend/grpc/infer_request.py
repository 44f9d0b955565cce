"""ModelInferRequest to an `InferRequest` with its tensors in a block. Nothing here touches a socket."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tis.contracts.arrays import NUMPY, encode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor
from tis.contracts.model_spec import ModelSpec
from tis.contracts.validation import check_output_names
from tis.errors import invalid
from tis_frontend.grpc.parameters import read_classification, read_parameters
from tis_frontend.grpc.placement import REGION, read_place
from tis_frontend.regions import NO_REGIONS, RegionTable

_ALIGNMENT_BYTES: Final = 64

#: Start and size in bytes of tensors in a block.
Places = Sequence[tuple[int, int]]

#: The field of `contents` that carries a datatype; FP16 and BF16 have none.
_CONTENTS_FIELD: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_DATATYPE_OF_FIELD: Final = {
    "bool_contents": "BOOL",
    "int_contents": "INT32",
    "int64_contents": "INT64",
    "uint_contents": "UINT32",
    "uint64_contents": "UINT64",
    "fp32_contents": "FP32",
    "fp64_contents": "FP64",
    "bytes_contents": "BYTES",
}


def parse(
    spec: ModelSpec, message: Any, regions: RegionTable = NO_REGIONS, places: Places | None = None
) -> tuple[InferRequest, list[bytes], int]:
    """The request, the bytes of each input in order, and how many bytes of a block they take.

    With `places` the raw contents lie in a block already; bytes are given for none of them.

    Raises:
        TisError: INVALID_ARG in Triton's words.
    """
    request = InferRequest(spec.name, spec.version, message.id, [])
    if message.parameters:
        read_parameters(request, message.parameters)
    raw: Sequence[bytes] | Places = message.raw_input_contents if places is None else places
    next_raw = 0
    data: list[bytes] = []
    at = 0
    for entry in message.inputs:
        place = read_place(entry.name, entry.parameters, regions) if entry.parameters else None
        if place is not None:
            if entry.HasField("contents"):
                raise invalid(
                    f"unexpected 'content' provided when using shared memory for input tensor '{entry.name}' for model "
                    f"'{spec.name}'"
                )
            request.inputs.append(
                InputTensor(entry.name, entry.datatype, tuple(entry.shape), place.size_bytes, place.start, place.region)
            )
            data.append(b"")
            continue
        if entry.HasField("contents"):
            if raw:
                raise invalid(
                    f"contents field must not be specified when using raw_input_contents for '{entry.name}' for model "
                    f"'{spec.name}'"
                )
            piece = _from_contents(spec, entry)
        elif next_raw < len(raw):
            found = raw[next_raw]
            next_raw += 1
            if not isinstance(found, bytes):
                start, size = found
                request.inputs.append(InputTensor(entry.name, entry.datatype, tuple(entry.shape), size, start))
                data.append(b"")
                continue
            piece = found
        else:
            raise invalid(f"unable to find data for input tensor '{entry.name}' for model '{spec.name}' in request.")
        request.inputs.append(InputTensor(entry.name, entry.datatype, tuple(entry.shape), len(piece), at))
        data.append(piece)
        at += -(-len(piece) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
    for output in message.outputs:
        request.outputs.append(output.name)
        if output.parameters:
            classes = read_classification(output.parameters)
            if classes:
                request.classification[output.name] = classes
                if REGION in output.parameters:
                    raise invalid(f"output can't set both '{REGION}' and 'classification'")
            place = read_place(output.name, output.parameters, regions)
            if place is not None:
                request.placements[output.name] = place
    check_output_names(spec, request.outputs)
    return request, data, at


def _from_contents(spec: ModelSpec, entry: Any) -> bytes:
    """The wire bytes of typed contents: exactly one field, the one that carries the input's datatype."""
    fields = entry.contents.ListFields()
    if not fields:
        return b""
    descriptor, values = fields[0]
    datatype = entry.datatype
    if datatype not in ELEMENT_BYTES or _CONTENTS_FIELD.get(datatype) != descriptor.name:
        expected = datatype if datatype in ELEMENT_BYTES else "<invalid>"
        raise invalid(
            f"unexpected explicit tensor data for input tensor '{entry.name}' for model '{spec.name}' of type "
            f"'{_DATATYPE_OF_FIELD.get(descriptor.name, descriptor.name)}', expected datatype '{expected}'"
        )
    if len(fields) > 1:
        raise invalid(
            f"unexpected explicit tensor data for input tensor '{entry.name}' for model '{spec.name}', binary data was "
            "already supplied."
        )
    if datatype == "BYTES":
        elements = np.empty(len(values), dtype=np.object_)
        elements[:] = list(values)
        return encode_bytes(elements)
    # Without its type numpy would make doubles of unsigned numbers, some of which are beyond 63 bits.
    wide = np.array(values, dtype=NUMPY[_DATATYPE_OF_FIELD[descriptor.name]])
    return wide.astype(NUMPY[datatype]).tobytes()
