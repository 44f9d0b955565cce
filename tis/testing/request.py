"""Requests that no client has sent: checked as a frontend does, made as a worker does, around arrays of this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np

from tis.contracts import messages as m
from tis.contracts.arrays import NUMPY, encode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import InferRequest, InputTensor, Parameter
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.validation import check_output_names, check_request
from tis.errors import TisError, invalid
from tis.testing.answers import Array, Collector, ModelError, as_strings
from tis_shm.pool import Pool
from tis_workers.backchannel import Backchannel
from tis_workers.python_api.request import InferenceRequest
from tis_workers.regions import ClientRegions
from tis_workers.request import WorkRequest, reshaped

_POOL_BYTES: Final = 1 << 16
_ASKER: Final = 1


@dataclass(frozen=True)
class Asked:
    """What a client would say."""

    inputs: Mapping[str, Any]
    outputs: Sequence[str] | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    request_id: str = ""
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False


def item_of(spec: ModelSpec, asked: Asked, number: int, slot: int = -1) -> tuple[m.BatchItem, dict[str, Array]]:
    """A request as an item of a batch, and its inputs as the backend sees them.

    Raises:
        ModelError: INVALID_ARG, in the words that a client would get.
    """
    arrays = {name: _array(spec, name, value) for name, value in asked.inputs.items()}
    tensors = [
        InputTensor(name, _datatype(spec.inputs_by_name.get(name), array), array.shape, _size_bytes(array))
        for name, array in arrays.items()
    ]
    request = InferRequest(spec.name, spec.version, asked.request_id, tensors, sequence_id=asked.sequence_id)
    try:
        check_output_names(spec, asked.outputs or ())
        batch_size = check_request(spec, request)
    except TisError as error:
        raise ModelError(error.code, error.message) from None
    for name, array in arrays.items():
        tensor = spec.inputs_by_name[name]
        if tensor.reshape is not None:
            shape = reshaped(array.shape, tensor.shape, tensor.reshape, batched=spec.max_batch_size > 0)
            arrays[name] = array.reshape(shape)
    wanted = None if asked.outputs is None else tuple(spec.output_positions[name] for name in asked.outputs)
    body = m.WorkBody(asked.request_id, (), (), wanted, parameters=dict(asked.parameters))
    wishes = m.Wishes(
        sequence_id=asked.sequence_id, sequence_start=asked.sequence_start, sequence_end=asked.sequence_end
    )
    return m.BatchItem(number, _ASKER, batch_size, m.encode_body(body), wishes, slot), arrays


def make_request(
    inputs: Mapping[str, Any],
    *,
    outputs: Sequence[str] = (),
    parameters: Mapping[str, Parameter] | None = None,
    request_id: str = "",
    decoupled: bool = False,
) -> InferenceRequest:
    """A `pb_utils.InferenceRequest` to call a model's `execute` with, without a config and without any check.

    Args:
        inputs: arrays by name, with the batch dimension where the model has one.
        outputs: what `requested_output_names` gives.
        parameters: the client's parameters.
        request_id: the client's id.
        decoupled: whether its response sender may send more than one response.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
    spec = ModelSpec(
        "model",
        1,
        "",
        "python",
        0,
        tuple(TensorSpec(name, _datatype(None, array), array.shape) for name, array in arrays.items()),
        tuple(TensorSpec(name, "", ()) for name in outputs),
        decoupled=decoupled,
    )
    body = m.encode_body(m.WorkBody(request_id, (), (), None, parameters=dict(parameters or {})))
    work = WorkRequest(spec, m.BatchItem(1, _ASKER, 0, body), the_pool(), Collector(), ClientRegions())
    work.inputs.update({name: as_strings(a) if a.dtype.kind in "OSU" else a for name, a in arrays.items()})
    return InferenceRequest(work, Backchannel())


@cache
def the_pool() -> Pool:
    """What requests are made with. Nothing is taken from it: their inputs lie elsewhere."""
    return Pool.create(_POOL_BYTES)


def _array(spec: ModelSpec, name: str, value: Any) -> Array:
    """An input as an array of the model's own: a copy, so that the model cannot write to the caller's."""
    tensor = spec.inputs_by_name.get(name)
    if isinstance(value, np.ndarray) or tensor is None:
        array = np.array(value, order="C")
    else:
        array = np.array(value, NUMPY.get(tensor.datatype, np.dtype(np.object_)))
    return as_strings(array) if array.dtype.kind in "OSU" else array


def _datatype(tensor: TensorSpec | None, array: Array) -> str:
    if array.dtype.kind in "OSU":
        return "BYTES"
    if tensor is not None and tensor.datatype == "BF16" and array.dtype == NUMPY["BF16"]:
        return "BF16"
    found = next((name for name, dtype in NUMPY.items() if dtype == array.dtype and name != "BF16"), None)
    if found is None:
        error = invalid(
            f"an input has the numpy type '{array.dtype}', which no datatype stands for; expected one of "
            f"{', '.join(ELEMENT_BYTES)}"
        )
        raise ModelError(error.code, error.message)
    return found


def _size_bytes(array: Array) -> int:
    return len(encode_bytes(array)) if array.dtype == np.object_ else array.nbytes
