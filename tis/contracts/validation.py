"""Checks a request against its model: one pure function, used by every face and for direct clients.

Order and wording are Triton's (the reference answers the same texts). Nothing is read but names, types, shapes, sizes;
the elements of BYTES tensors are counted by whoever has the bytes, with `check_bytes_elements`.
"""

from collections.abc import Sequence
from math import prod
from typing import Final

from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor, id_prefix
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.padding import bucket_of, length_axis
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import TisError, invalid, unsupported

_BATCH_NOTE: Final = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)
_LENGTH_BYTES: Final = 4
_LONGEST_SEQUENCE_ID_BYTES: Final = 128


def check_output_names(spec: ModelSpec, names: Sequence[str]) -> None:
    """Raise INVALID_ARG where a requested output is not one of the model's. The text carries no request id."""
    for name in names:
        if name not in spec.outputs_by_name:
            raise invalid(f"unexpected inference output '{name}' for model '{spec.name}'")


def check_request(spec: ModelSpec, request: InferRequest) -> int:
    """Batch size of a request that the model can run (0 for a model without batching).

    Raises:
        TisError: INVALID_ARG with Triton's words, prefixed with the request's id; that of an unknown name is not.
    """
    # Triton's hash table gives the inputs in this order, which shows in errors where several are wrong.
    inputs = request.inputs[::-1]
    unknown = _unknown(spec, [tensor.name for tensor in inputs])
    if unknown is not None:
        raise invalid(f"unexpected inference input '{unknown}' for model '{spec.name}'")
    try:
        _check_names(spec, inputs)
        batch_size = _check_batch(spec, inputs)
        for tensor in inputs:
            _check_tensor(spec, spec.inputs_by_name[tensor.name], tensor)
        if spec.sequences is not None:
            _check_sequence_id_type(spec, spec.sequences, request.sequence_id)
    except TisError as error:
        raise TisError(error.code, id_prefix(request.client_id) + error.message) from None
    return batch_size


def _unknown(spec: ModelSpec, names: list[str]) -> str | None:
    """The name of an input that the model does not have, where their number fits: Triton counts first."""
    known = spec.inputs_by_name
    given = set(names)
    if given <= known.keys() or len(given) != len(names):
        return None
    if not len(spec.required_inputs) <= len(names) <= len(known):
        return None
    return next(name for name in names if name not in known)


def _check_names(spec: ModelSpec, inputs: list[InputTensor]) -> None:
    names = [tensor.name for tensor in inputs]
    known = spec.inputs_by_name
    given = set(names)
    if len(given) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(f"input '{twice}' already exists in request")
    if not spec.required_inputs <= given or len(names) > len(known):
        raise invalid(_wrong_count(spec, names))


def _wrong_count(spec: ModelSpec, names: list[str]) -> str:
    fewest, most = len(spec.required_inputs), len(spec.inputs)
    missing = [tensor.name for tensor in spec.inputs if not tensor.optional and tensor.name not in names]
    if fewest == most:
        expected = f"expected {most} inputs but got {len(names)} inputs for model '{spec.name}'."
    else:
        expected = (
            f"expected number of inputs between {fewest} and {most} but got {len(names)} inputs "
            f"for model '{spec.name}'."
        )
    listed = f"Got input(s) [{_quoted(names)}]"
    if missing:
        listed += f", but missing required input(s) [{_quoted(missing)}]. Please provide all required input(s)."
    return f"{expected} {listed}"


def _check_batch(spec: ModelSpec, inputs: list[InputTensor]) -> int:
    if spec.max_batch_size < 1:
        return 0
    batch_size = -1
    for tensor in inputs:
        if not tensor.shape:
            raise invalid(f"input '{tensor.name}' has no shape but model requires batch dimension for '{spec.name}'")
        if batch_size < 0:
            batch_size = tensor.shape[0]
        elif tensor.shape[0] != batch_size:
            raise invalid(f"input '{tensor.name}' batch size does not match other inputs for '{spec.name}'")
    if batch_size > spec.max_batch_size:
        raise invalid(f"inference request batch-size must be <= {spec.max_batch_size} for '{spec.name}'")
    return max(batch_size, 0)


def _check_tensor(spec: ModelSpec, expected: TensorSpec, tensor: InputTensor) -> None:
    if tensor.datatype != expected.datatype:
        given = tensor.datatype if tensor.datatype in ELEMENT_BYTES else "<invalid>"
        raise invalid(
            f"inference input '{tensor.name}' data-type is '{given}', but model '{spec.name}' expects "
            f"'{expected.datatype}'"
        )
    dims = tensor.shape[1:] if spec.max_batch_size else tensor.shape
    if dims != expected.shape or min(tensor.shape, default=0) < 0:
        _check_dims(spec, expected, tensor, dims)
    element_bytes = ELEMENT_BYTES[tensor.datatype]
    if not tensor.size_bytes and tensor.shape != dims and tensor.shape[0] == 0:
        items = prod(dims)
        if items:
            raise invalid(_empty_batch(spec, tensor, items, element_bytes))
    if element_bytes:
        size_bytes = prod([*tensor.shape, element_bytes])
        if size_bytes != tensor.size_bytes:
            raise invalid(
                f"input byte size mismatch for input '{tensor.name}' for model '{spec.name}'. "
                f"Expected {size_bytes}, got {tensor.size_bytes}"
            )


def _empty_batch(spec: ModelSpec, tensor: InputTensor, elements: int, element_bytes: int) -> str:
    """Triton sees a batch size of 0 as no batch, and misses the bytes of one item."""
    if element_bytes:
        return (
            f"input byte size mismatch for input '{tensor.name}' for model '{spec.name}'. "
            f"Expected {elements * element_bytes}, got 0"
        )
    return f"expected {elements} string elements for inference input '{tensor.name}' for model '{spec.name}', got 0"


def _check_dims(spec: ModelSpec, expected: TensorSpec, tensor: InputTensor, dims: tuple[int, ...]) -> None:
    if any(dim < 0 for dim in tensor.shape):
        raise invalid(
            f"All input dimensions should be specified for input '{tensor.name}' for model '{spec.name}', got "
            f"{shape_text(tensor.shape)}"
        )
    fits = len(dims) == len(expected.shape) and all(
        want in (-1, got) for got, want in zip(dims, expected.shape, strict=True)
    )
    if not fits:
        full = (-1, *expected.shape) if spec.max_batch_size else expected.shape
        raise invalid(
            f"unexpected shape for input '{tensor.name}' for model '{spec.name}'. Expected {shape_text(full)}, got "
            f"{shape_text(tensor.shape)}. {_BATCH_NOTE if spec.max_batch_size else ''}"
        )


def _check_sequence_id_type(spec: ModelSpec, sequences: SequenceBatcherSpec, sequence_id: int | str) -> None:
    """Triton 2.51 writes a string's bytes over the edge of an integer's control tensor; later ones refuse it as here."""
    if not sequence_id:
        return
    for control in sequences.controls:
        given = "BYTES" if isinstance(sequence_id, str) else "UINT64"
        if control.kind == "CORRID" and (control.datatype == "BYTES") != (given == "BYTES"):
            raise invalid(
                f"sequence batching control '{control.name}' data-type is '{given}', but model '{spec.name}' expects "
                f"'{control.datatype}'"
            )


def check_sequence_id(sequence_id: int | str) -> None:
    """Raise UNSUPPORTED where a sequence's id is a string longer than Triton's."""
    if isinstance(sequence_id, str) and len(sequence_id.encode()) > _LONGEST_SEQUENCE_ID_BYTES:
        raise unsupported(f"string correlation ID cannot be longer than {_LONGEST_SEQUENCE_ID_BYTES} characters")


def check_bytes_elements(name: str, model: str, shape: tuple[int, ...], data: memoryview) -> None:
    """Check that a BYTES tensor holds as many length-prefixed elements as its shape has.

    Raises:
        TisError: INVALID_ARG in Triton's words, without the request id.
    """
    expected = prod(shape)
    end = len(data)
    at = 0
    count = 0
    while at < end:
        if count == expected:
            raise invalid(
                f"unexpected number of string elements {count + 1} for inference input '{name}' for model '{model}', "
                f"expecting {expected}"
            )
        start = at + _LENGTH_BYTES
        if start > end:
            raise invalid(
                f"incomplete string length indicator for inference input '{name}' for model '{model}', expecting "
                f"{_LENGTH_BYTES} bytes but only {end - at} bytes available. Please make sure the string length "
                "indicator is in one buffer."
            )
        size_bytes = int.from_bytes(data[at:start], "little")
        if start + size_bytes > end:
            raise invalid(
                f"incomplete string data for inference input '{name}' for model '{model}', expecting string of length "
                f"{size_bytes} but only {end - start} bytes available"
            )
        at = start + size_bytes
        count += 1
    if count != expected:
        raise invalid(
            f"expected {expected} string elements for inference input '{name}' for model '{model}', got {count}"
        )


def batch_key(spec: ModelSpec, inputs: list[InputTensor]) -> bytes:
    """What two requests must have in common to share a batch: the inputs supplied, and every variable dimension.

    Of an input that is filled up, the length counts by its bucket only. Empty for a model whose inputs are all required and
    of fixed shape.
    """
    if not spec.needs_batch_key:
        return b""
    padding = spec.extensions.padding
    parts: list[str] = []
    for tensor in sorted(inputs, key=lambda tensor: tensor.name):
        expected = spec.inputs_by_name[tensor.name]
        dims = tensor.shape[1:] if expected.has_variable_dims and not expected.allow_ragged_batch else ()
        if padding is not None and tensor.name in padding.inputs:
            at = length_axis(expected) - 1
            dims = (*dims[:at], bucket_of(padding.bucket_bounds, dims[at]), *dims[at + 1 :])
        parts.append(f"{tensor.name}{dims}")
    return "\0".join(parts).encode()


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Triton prints it: `[-1,16]`."""
    return f"[{','.join(map(str, shape))}]"


def _quoted(names: list[str]) -> str:
    return ",".join(f"'{name}'" for name in names)
