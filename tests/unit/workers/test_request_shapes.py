"""Outputs that have another shape for the backend than for clients."""

import numpy as np
import pytest

from tests.unit.workers.recorded import request_of
from tis.contracts.model_spec import ModelSpec, TensorSpec

Shape = tuple[int, ...]


@pytest.mark.parametrize(
    ("dims", "reshape", "max_batch_size", "given", "expected"),
    [
        ((4,), (2, 2), 0, (2, 2), (4,)),
        ((4,), (2, 2), 8, (3, 2, 2), (3, 4)),
        ((1,), (), 8, (3,), (3, 1)),
        ((-1,), (-1, 1), 0, (5, 1), (5,)),
        ((-1, 2, -1), (-1, -1, 2), 0, (5, 7, 2), (5, 2, 7)),
        # What is not of the configured shape stays as it is.
        ((4,), (2, 2), 0, (4,), (4,)),
        ((4,), (2, 2), 0, (3, 3), (3, 3)),
    ],
)
def test_an_output_is_answered_in_the_shape_that_clients_see(
    dims: Shape, reshape: Shape, max_batch_size: int, given: Shape, expected: Shape
) -> None:
    outputs = (TensorSpec("Y", "FP32", dims, reshape=reshape), TensorSpec("Z", "FP32", (1,)))
    spec = ModelSpec("m", 1, "", "b", max_batch_size, (), outputs)
    request, recorder = request_of(spec, {})
    array = np.arange(np.prod(given), dtype=np.float32).reshape(given)
    assert request.reserve([("Y", "FP32", given)]) is None
    request.respond({"Y": array, "Z": np.zeros(1, np.float32)})
    assert recorder.answers == [({"Y": array.reshape(expected).tolist(), "Z": [0]}, True)]
