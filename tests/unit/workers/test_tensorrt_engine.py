"""Profiles of TensorRT engines, and what is read of an engine; the library itself needs a GPU."""

import enum
from types import SimpleNamespace
from typing import Any

import pytest

from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError
from tis_workers.backends.tensorrt_engine import profiles_of, signature_of
from tis_workers.backends.tensorrt_profiles import Profile, Range, chosen, largest_batch, wanted

SMALL = Profile(0, {"x": Range((1, 3), (2, 3), (4, 3))})
LARGE = Profile(2, {"x": Range((1, 3), (16, 3), (32, 3))})


@pytest.mark.parametrize(("rows", "number"), [(1, 0), (4, 0), (5, 2), (32, 2)])
def test_a_batch_runs_with_the_profile_that_takes_it_and_is_nearest(rows: int, number: int) -> None:
    assert chosen((SMALL, LARGE), {"x": (rows, 3)}, "m").number == number


@pytest.mark.parametrize("shape", [(33, 3), (1, 4), (1, 3, 1), (0, 3)])
def test_shapes_that_no_profile_takes_are_refused_with_what_they_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(TisError, match="failed to find any Optimization Profile") as caught:
        chosen((SMALL, LARGE), {"x": shape}, "m")
    assert caught.value.code is Code.INVALID_ARG
    assert "'x' [1,3] to [4,3]; or 'x' [1,3] to [32,3]" in caught.value.message


def test_the_largest_batch_is_that_of_the_largest_profile_and_its_smallest_input() -> None:
    two = Profile(0, {"x": Range((1, 3), (2, 3), (4, 3)), "y": Range((1,), (2,), (3,))})
    assert largest_batch((two,)) == 3
    assert largest_batch((two, LARGE)) == 32
    assert largest_batch((Profile(0, {}),)) == 0


def test_an_instance_has_the_profiles_that_its_group_lists_or_the_first() -> None:
    assert wanted((), 3, "m") == (0,)
    assert wanted(("2", "0", "2"), 3, "m") == (2, 0)
    for listed, words in (
        (("3",), "Number of profiles supported by TensorRT engine: 3"),
        (("x",), "unable to parse 'x'"),
    ):
        with pytest.raises(TisError, match=words):
            wanted(listed, 3, "m")


# ---- an engine ---------------------------------------------------------------------------------------------------------


class Mode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class Layout(enum.Enum):
    LINEAR = 0
    CHW4 = 1


TRT = SimpleNamespace(TensorIOMode=Mode, TensorFormat=Layout)


class Engine:
    """What TensorRT's ICudaEngine tells of an engine with an input x and an output y."""

    num_io_tensors = 2
    num_optimization_profiles = 2

    def __init__(self, **changed: Any) -> None:
        self._of_y = {"dtype": "HALF", "is_shape": False, "layout": Layout.LINEAR, **changed}

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="FLOAT" if name == "x" else self._of_y["dtype"])

    def is_shape_inference_io(self, name: str) -> bool:
        return name == "y" and bool(self._of_y["is_shape"])

    def get_tensor_format(self, name: str) -> Layout:
        found: Layout = Layout.LINEAR if name == "x" else self._of_y["layout"]
        return found

    def get_tensor_shape(self, name: str) -> list[int]:
        return [-1, 3] if name == "x" else [-1]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "x" else Mode.OUTPUT

    def get_tensor_profile_shape(self, name: str, number: int) -> list[list[int]]:
        assert name == "x"
        return [[1, 3], [2 + number, 3], [4 + number, 3]]


def test_an_engine_tells_its_signature_and_profiles() -> None:
    signature = signature_of(TRT, Engine(), "m")
    assert signature == ModelSignature((TensorSignature("x", "FP32", (-1, 3)),), (TensorSignature("y", "FP16", (-1,)),))
    first, second = profiles_of(Engine(), signature)
    assert (first.number, first.ranges) == (0, {"x": Range((1, 3), (2, 3), (4, 3))})
    assert (second.number, second.ranges["x"].most) == (1, (5, 3))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dtype": "FP8"}, "tensor 'y' has the type FP8 of TensorRT"),
        ({"is_shape": True}, "'y' is a shape tensor"),
        ({"layout": Layout.CHW4}, "'y' is not laid out linearly, but CHW4"),
    ],
)
def test_a_tensor_that_cannot_be_carried_is_refused_by_name(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(TisError, match=words) as caught:
        signature_of(TRT, Engine(**changed), "m")
    assert caught.value.code is Code.UNSUPPORTED
