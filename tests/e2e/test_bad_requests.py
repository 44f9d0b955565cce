"""Requests that do not fit: each client gets a clear error in Triton's words, and the next good request is served."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from tests.harness.faces import Call, Face, refusal

_ROW: Final = np.ones((1, 16), np.int32)
_GOOD: Final = Call("simple", {"INPUT0": _ROW, "INPUT1": _ROW})
_NOTE: Final = "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension"
_HTTP_STATUS: Final = {"INVALID_ARGUMENT": "400", "NOT_FOUND": "404", "UNAVAILABLE": "503", "INTERNAL": "500"}

_CASES: Final = {
    "unknown model": (
        replace(_GOOD, model="nobody"),
        "NOT_FOUND",
        "Request for unknown model: 'nobody' is not found",
    ),
    "unknown version": (
        replace(_GOOD, version="7"),
        "NOT_FOUND",
        "Request for unknown model: 'simple' version 7 is not found",
    ),
    "version that the policy leaves out": (
        Call("versioned", {"INPUT0": np.zeros((1, 4), np.int32)}, version="2"),
        "NOT_FOUND",
        "Request for unknown model: 'versioned' version 2 is not found",
    ),
    "missing input": (
        replace(_GOOD, inputs={"INPUT0": _ROW}),
        "INVALID_ARGUMENT",
        "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'simple'. Got input(s) ['INPUT0'], but "
        "missing required input(s) ['INPUT1']. Please provide all required input(s).",
    ),
    "input of another name": (
        replace(_GOOD, inputs={"INPUT0": _ROW, "INPUT9": _ROW}),
        "INVALID_ARGUMENT",
        "unexpected inference input 'INPUT9' for model 'simple'",
    ),
    "too many inputs": (
        replace(_GOOD, inputs={"INPUT0": _ROW, "INPUT1": _ROW, "INPUT2": _ROW}),
        "INVALID_ARGUMENT",
        "[request id: <id_unknown>] expected 2 inputs but got 3 inputs for model 'simple'. "
        "Got input(s) ['INPUT2','INPUT1','INPUT0']",
    ),
    "output of another name": (
        replace(_GOOD, outputs=["OUTPUT0", "NOPE"]),
        "INVALID_ARGUMENT",
        "unexpected inference output 'NOPE' for model 'simple'",
    ),
    "wrong datatype": (
        replace(_GOOD, inputs={"INPUT0": _ROW, "INPUT1": _ROW.astype(np.float32)}, request_id="my-7"),
        "INVALID_ARGUMENT",
        "[request id: my-7] inference input 'INPUT1' data-type is 'FP32', but model 'simple' expects 'INT32'",
    ),
    "wrong shape": (
        replace(_GOOD, inputs={"INPUT0": _ROW[:, :8], "INPUT1": _ROW[:, :8]}),
        "INVALID_ARGUMENT",
        "[request id: <id_unknown>] unexpected shape for input 'INPUT1' for model 'simple'. Expected [-1,16], got [1,8]. "
        + _NOTE,
    ),
    "no batch dimension": (
        replace(_GOOD, inputs={"INPUT0": np.ones(8, np.int32), "INPUT1": np.ones(8, np.int32)}),
        "INVALID_ARGUMENT",
        "[request id: <id_unknown>] unexpected shape for input 'INPUT1' for model 'simple'. Expected [-1,16], got [8]. "
        + _NOTE,
    ),
    "batches of different sizes": (
        replace(_GOOD, inputs={"INPUT0": _ROW, "INPUT1": np.ones((2, 16), np.int32)}),
        "INVALID_ARGUMENT",
        "batch size does not match other inputs for 'simple'",
    ),
    "too large a batch": (
        replace(_GOOD, inputs={"INPUT0": np.ones((9, 16), np.int32), "INPUT1": np.ones((9, 16), np.int32)}),
        "INVALID_ARGUMENT",
        "[request id: <id_unknown>] inference request batch-size must be <= 8 for 'simple'",
    ),
    "execution that fails": (
        Call("gather", {"INDEX": np.array([[99]])}, request_id="bad-index"),
        "INTERNAL",
        "[request id: bad-index] onnx runtime error: ",
    ),
}


@pytest.mark.parametrize("case", list(_CASES))
def test_a_request_that_does_not_fit_is_refused_in_tritons_words(face: Face, case: str) -> None:
    call, status, text = _CASES[case]
    error = refusal(face, call)
    assert error.status in (status, _HTTP_STATUS[status])
    assert text in error.text
    assert (face.infer(_GOOD).outputs["OUTPUT0"] == 2).all()


def test_bytes_of_another_length_than_the_shape_says_are_refused(face: Face) -> None:
    lying = Call("bf16", {"INPUT0": np.ones(3, np.int16)}, datatypes={"INPUT0": "INT16"})
    error = refusal(face, lying)
    assert error.status in ("INVALID_ARGUMENT", "400")
    assert "inference input 'INPUT0' data-type is 'INT16', but model 'bf16' expects 'BF16'" in error.text
