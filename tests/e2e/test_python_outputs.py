"""Outputs that a Python model writes where they are read from, without a copy (`pb_utils.tis.empty_output`)."""

import pytest

from tests.e2e.python_server import python_face, python_server, refused, run
from tests.harness.faces import Face

__all__ = ["python_face", "python_server"]

MAKE = "t = pb.tis.empty_output(request, 'X', (2, 3), np.float32); t.as_numpy()[:] = np.arange(6).reshape(2, 3)\n"


@pytest.mark.parametrize(
    "sends",
    [
        "out = [pb.InferenceResponse([t])]",
        "request.get_response_sender().send(pb.InferenceResponse([t]), 1)\nout = None",
        "out = [pb.InferenceResponse([pb.Tensor('OUT', np.array([b'x'], object)), t])]",
        "self.kept['t'] = t; out = [pb.InferenceResponse([t])]",
        "u = pb.tis.empty_output(request, 'X', (9,), np.int8); out = [pb.InferenceResponse([t])]",
    ],
)
def test_it_arrives_as_it_was_written(python_face: Face, sends: str) -> None:
    assert run(python_face, MAKE + sends).outputs["X"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_one_that_is_kept_can_be_sent_again(python_face: Face) -> None:
    first = run(python_face, f"{MAKE}self.kept['again'] = t; out = [pb.InferenceResponse([t])]").outputs["X"]
    for _ in range(3):
        again = run(python_face, "out = [pb.InferenceResponse([self.kept['again']])]").outputs["X"]
        assert again.tolist() == first.tolist()
    run(python_face, "self.kept.clear(); out = [R(1)]")


def test_an_output_that_is_not_wanted_is_freed(python_face: Face) -> None:
    make = "t = pb.tis.empty_output(request, 'NEW', (100_000,), np.float64)"
    run(python_face, f"{make}; out = [pb.InferenceResponse([t, *R(1).output_tensors()])]")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("request, 'X', (1,), object", "cannot be allocated in advance"),
        ("request, 'X', (1,), 'BYTES'", "cannot be allocated in advance"),
        ("request, 'X', (1,), complex", "cannot be allocated in advance"),
        ("request, 'X', (-1,), 'FP32'", "an output cannot have the shape [-1]"),
        ("request, '', (1,), 'FP32'", "Tensor name cannot be an empty string."),
        (
            "request, 'X', (1 << 50,), 'FP32'",
            "the shared-memory pool has no room for 4503599627370496 bytes of a model's tensors",
        ),
        ("None, 'X', (1,), 'FP32'", "empty_output takes a request"),
    ],
)
def test_what_cannot_be_allocated_is_told(python_face: Face, arguments: str, text: str) -> None:
    assert text in refused(python_face, f"pb.tis.empty_output({arguments})").text


@pytest.mark.parametrize("dtype", ["np.float16", "'BF16'", "'BOOL'", "np.uint64", "'FP64'"])
def test_every_type_of_fixed_size_can_be_allocated(python_face: Face, dtype: str) -> None:
    code = f"t = pb.tis.empty_output(request, 'X', (0, 2), {dtype}); u = pb.tis.empty_output(request, 'X', (3,), {dtype}); "
    run(python_face, f"{code}assert u.shape() == [3] and u.is_cpu(); out = [R(t.triton_dtype())]")
