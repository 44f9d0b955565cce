"""Tensors of traced requests as text, next to what Triton 2.51 writes of the same."""

import json
import struct

import numpy as np
import pytest

from tis.contracts import messages as m
from tis.contracts.inference import OutputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.plan import Plan
from tis_frontend.traced_tensors import MOST_BYTES, TracedTensors, text


def strings(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        (
            "FP32",
            np.array([1.5, 1 / 3, 1e20, np.nan, np.inf, -0.0, 1e-7, 100000, 1234567], np.float32).tobytes(),
            "1.5,0.333333,1e+20,nan,inf,-0,1e-07,100000,1.23457e+06",
        ),
        ("FP64", np.array([0.1, 1 / 3, 1e300]).tobytes(), "0.1,0.333333,1e+300"),
        ("INT64", np.array([-5, 1 << 60]).tobytes(), "-5,1152921504606846976"),
        ("UINT64", np.array([(1 << 64) - 1], np.uint64).tobytes(), "18446744073709551615"),
        ("INT16", np.array([-300], np.int16).tobytes(), "-300"),
        ("BOOL", b"\1\0", "1,0"),
        ("FP16", b"\0\0\0\0", ""),
        ("BF16", b"\0\0\0\0", ""),
        ("BYTES", strings(b"abc", b"", "é".encode()), '"abc","","é"'),
        # Where Triton's file is no JSON.
        ("UINT8", b"\0A\xff", "0,65,255"),
        ("INT8", b"\xffA", "-1,65"),
        ("BYTES", strings(b'q"u\\o,te', b"\xff"), '"q"u\\o,te","\ufffd"'),
    ],
)
def test_elements_are_written_as_triton_writes_them(datatype: str, data: bytes, expected: str) -> None:
    assert text(datatype, data) == expected
    assert json.loads(json.dumps(expected)) == expected


def plan(*inputs: tuple[int, tuple[int, ...], int, int, int], placements: tuple[m.OutputPlacement, ...] = ()) -> Plan:
    """A plan of inputs given as index, shape, start, size and region."""
    return Plan("m", 1, 0, b"", tuple(m.TensorRef(*each) for each in inputs), None, (), {}, placements)


def model(*datatypes: str) -> ModelSpec:
    inputs = tuple(TensorSpec(f"X{index}", datatype, (-1,)) for index, datatype in enumerate(datatypes))
    outputs = tuple(TensorSpec(f"Y{index}", datatype, (-1,)) for index, datatype in enumerate(datatypes))
    return ModelSpec("m", 1, "", "", 0, inputs, outputs)


def found(tensors: TracedTensors) -> list[tuple[str, str, str, str]]:
    return [(each.activity, each.name, each.data, each.shape) for each in tensors.pieces()]


def test_tensors_are_copied_in_their_order_but_for_inputs_without_elements() -> None:
    block = bytearray(b"\0\1\2")
    asked = plan((1, (1, 2), 1, 2, 0), (0, (0,), 0, 0, 0))
    tensors = TracedTensors(model("UINT8", "UINT8"))
    tensors.add_inputs(asked, lambda _region, start, size: memoryview(block)[start : start + size])
    outputs = [
        OutputTensor("Y0", "UINT8", (2,), memoryview(block)[1:]),
        OutputTensor("Y1", "UINT8", (1, 0), memoryview(b"")),
    ]
    tensors.add_outputs(outputs, asked, lambda *_: memoryview(b""))
    block[:] = bytes(3)
    assert found(tensors) == [
        ("TENSOR_QUEUE_INPUT", "X1", "1,2", "1,2"),
        ("TENSOR_BACKEND_OUTPUT", "Y0", "1,2", "2"),
        ("TENSOR_BACKEND_OUTPUT", "Y1", "", "1,0"),
    ]


def test_data_beyond_what_is_kept_of_a_request_are_left_out() -> None:
    sizes = (MOST_BYTES - 1, 2, 1)
    tensors = TracedTensors(model("UINT8", "UINT8", "UINT8"))
    asked = plan(*((index, (size,), 0, size, 0) for index, size in enumerate(sizes)))
    tensors.add_inputs(asked, lambda _region, _start, size: memoryview(bytes(size)))
    assert [(len(each.data), each.shape) for each in tensors.pieces()] == [
        (2 * MOST_BYTES - 3, str(MOST_BYTES - 1)),
        (0, "2"),
        (1, "1"),
    ]


@pytest.mark.parametrize(
    ("datatype", "shape", "place", "expected"),
    [
        ("INT16", (2,), b"\1\0\2\0\3\0", "1,2"),
        ("BYTES", (2,), strings(b"a", b"bc", b""), '"a","bc"'),
        # What the place does not hold is not there.
        ("INT16", (2,), b"\1\0\2", ""),
        ("BYTES", (2,), strings(b"a") + b"\xff\xff\0\0", ""),
    ],
)
def test_an_output_in_a_clients_region_is_as_long_as_its_elements(
    datatype: str, shape: tuple[int, ...], place: bytes, expected: str
) -> None:
    tensors = TracedTensors(model(datatype))
    output = OutputTensor("Y0", datatype, shape, memoryview(b""), placed=True)
    view = {(7, 3, len(place)): memoryview(place)}
    asked = plan(placements=(m.OutputPlacement(0, 7, 3, len(place)),))
    tensors.add_outputs([output], asked, lambda *where: view[where])
    assert found(tensors) == [("TENSOR_BACKEND_OUTPUT", "Y0", expected, ",".join(map(str, shape)))]
