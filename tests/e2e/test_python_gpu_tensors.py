"""Tensors that a Python model has on a GPU, where there is one and torch or cupy to use it with."""

import importlib.util
from pathlib import Path

import pytest

from tests.e2e.python_server import python_face, python_server, refused, said
from tests.harness.faces import Face

__all__ = ["python_face", "python_server"]

LIBRARIES = [name for name in ("torch", "cupy") if importlib.util.find_spec(name) is not None]


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="needs an NVIDIA GPU (no /dev/nvidia0)")
@pytest.mark.skipif(not LIBRARIES, reason="needs torch or cupy")
@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_an_output_on_a_gpu_arrives(python_face: Face, library: str) -> None:
    if library not in LIBRARIES:
        pytest.skip(f"needs {library}")
    make = "torch.arange(6., device='cuda')" if library == "torch" else "cupy.arange(6, dtype='f4')"
    told = said(
        python_face,
        f"import {library}\nt = pb.Tensor.from_dlpack('X', {make} * 2)\nassert not t.is_cpu() and t.shape() == [6]\n"
        "out = [R(t.parts()[1].tolist())]",
    )
    assert told == "[0.0, 2.0, 4.0, 6.0, 8.0, 10.0]"


def test_a_tensor_on_another_device_is_refused(python_face: Face) -> None:
    code = (
        "class T:\n  def __dlpack__(self, **_): return None\n  def __dlpack_device__(self): return (7, 0)\n"
        "pb.Tensor.from_dlpack('X', T())"
    )
    assert "DLDevice type 7 is not support by Python backend." in refused(python_face, code).text


def test_a_tensor_on_a_gpu_needs_a_library_of_the_models(python_face: Face) -> None:
    code = "class T:\n  def __dlpack__(self, **_): return None\n  def __dlpack_device__(self): return (2, 0)\n"
    told = refused(
        python_face, code + "sys.modules.pop('torch', 0); sys.modules.pop('cupy', 0)\npb.Tensor.from_dlpack('X', T())"
    )
    assert "taken with torch or cupy, and the model has imported neither" in told.text
