"""Tensors of traced requests as text, next to what Triton 2.51 writes of the same."""

import json
import struct

import numpy as np
import pytest

from tis.contracts.inference import OutputTensor
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


def test_tensors_are_copied_in_their_order_but_for_inputs_without_elements() -> None:
    data = bytearray(b"\1\2")
    tensors = TracedTensors()
    tensors.add_input("X", "UINT8", (1, 2), memoryview(data))
    tensors.add_input("EMPTY", "UINT8", (0,), memoryview(b""))
    tensors.add_output(OutputTensor("Y", "UINT8", (2,), memoryview(data)))
    tensors.add_output(OutputTensor("EMPTY", "FP32", (1, 0), memoryview(b"")))
    data[:] = b"\0\0"
    assert [(each.activity, each.name, each.data, each.shape, each.datatype) for each in tensors.pieces()] == [
        ("TENSOR_QUEUE_INPUT", "X", "1,2", "1,2", "UINT8"),
        ("TENSOR_BACKEND_OUTPUT", "Y", "1,2", "2", "UINT8"),
        ("TENSOR_BACKEND_OUTPUT", "EMPTY", "", "1,0", "FP32"),
    ]


def test_data_beyond_what_is_kept_of_a_request_are_left_out() -> None:
    tensors = TracedTensors()
    for name, size in (("A", MOST_BYTES - 1), ("B", 2), ("C", 1)):
        tensors.add_input(name, "UINT8", (size,), memoryview(bytes(size)))
    found = {each.name: (len(each.data), each.shape) for each in tensors.pieces()}
    assert found == {"A": (2 * MOST_BYTES - 3, str(MOST_BYTES - 1)), "B": (0, "2"), "C": (1, "1")}
