"""`triton_python_backend_utils.tis`: what this server offers beyond Triton's interface.

A model that uses it can ask whether it is there: `hasattr(pb_utils, "tis")`.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.errors import TisError
from tis_workers.forks import refuse_if_forked
from tis_workers.python_api.errors import TritonModelException, fits
from tis_workers.python_api.request import InferenceRequest
from tis_workers.python_api.tensor import OutputTensor, Tensor, datatype_of, tensor_of


def empty_output(request: InferenceRequest, name: str, shape: Sequence[int], dtype: Any) -> Tensor:
    """An output whose array lies in shared memory already: filled through `as_numpy()`, it is sent without a copy.

    `dtype` is a numpy type of fixed size, or a datatype of the protocol such as "FP32" or "BF16". The array's content is
    arbitrary at first, and must not be changed any more once the response has been sent. A tensor that is not sent is freed
    with its array; one that is sent a second time, or to memory of the client's own, is copied like any other.

    Raises:
        TritonModelException: the datatype or shape cannot be, or the pool has no room.
    """
    refuse_if_forked()
    if not fits(request, InferenceRequest) or not fits(name, str):
        raise TypeError(f"empty_output takes a request and a name (str); got {request!r} and {name!r}")
    if not name:
        raise TritonModelException("Tensor name cannot be an empty string.")
    datatype = _datatype(dtype)
    if datatype is None or datatype == "BYTES":
        raise TritonModelException(f"an output of the type {dtype!r} cannot be allocated in advance")
    dims = tuple([int(dim) for dim in shape])
    if any(dim < 0 for dim in dims):
        raise TritonModelException(f"an output cannot have the shape {list(dims)}")
    size_bytes = prod(dims) * ELEMENT_BYTES[datatype]
    work, channel = request.for_own()
    place = None
    if size_bytes and not work.goes_elsewhere(name):
        try:
            with channel.lock:
                place = work.own_block(NUMPY[datatype], dims, size_bytes)
        except TisError as error:
            raise TritonModelException(error.message) from error
    if place is None:
        return tensor_of(name, np.empty(dims, NUMPY[datatype]), datatype)
    own, array = place
    return OutputTensor.over(own, name, array, datatype)


def _datatype(dtype: Any) -> str | None:
    if isinstance(dtype, str) and dtype in NUMPY:
        return dtype
    try:
        return datatype_of(np.dtype(dtype))
    except TypeError:
        return None
