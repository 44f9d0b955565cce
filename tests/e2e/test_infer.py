"""Inference through each of NVIDIA's clients: what goes in comes out, exactly."""

import contextlib

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from tests.harness.faces import Array, Call, Face, HttpFace
from tests.harness.repository import DATATYPES
from tests.harness.server import Server
from tis.contracts.arrays import NUMPY

_LIMITS: dict[str, npt.DTypeLike] = {name: NUMPY[name] for name in DATATYPES if name != "BYTES"}


def samples(datatype: str) -> Array:
    """Values at the edges of a datatype."""
    if datatype == "BYTES":
        texts = ["", "a", "äöü ✓", "with\0zero", "x" * 10_000]
        return np.array([text.encode() for text in texts], dtype=np.object_)
    dtype = np.dtype(_LIMITS[datatype])
    if dtype.kind == "b":
        return np.array([True, False, True])
    if dtype.kind == "f":
        info = np.finfo(dtype)
        return np.array([0, -0.0, 1 / 3, info.max, info.min, info.tiny, np.inf, -np.inf, np.nan], dtype)
    limits = np.iinfo(dtype)
    return np.array([0, 1, limits.max, limits.min], dtype)


def every_type(**given: Array) -> dict[str, Array]:
    """Inputs of the model `types`: those given, and no elements for the others."""
    empty = {
        name: np.array([], np.object_ if name == "BYTES" else NUMPY[name]) for name in DATATYPES if name not in given
    }
    return {f"INPUT{name}": array for name, array in (given | empty).items()}


def same(got: Array, sent: Array) -> None:
    """Equal to the last bit, NaN and negative zero included."""
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    if sent.dtype == np.object_:
        assert got.tolist() == sent.tolist()
    else:
        assert got.tobytes() == sent.tobytes()


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_to_the_last_bit(face: Face, datatype: str) -> None:
    sent = samples(datatype)
    answer = face.infer(Call("types", every_type(**{datatype: sent})))
    same(answer.outputs[f"OUTPUT{datatype}"], sent)


def test_tensors_without_elements_are_answered_alike(face: Face) -> None:
    answer = face.infer(Call("types", every_type()))
    assert {name: array.shape for name, array in answer.outputs.items()} == {
        f"OUTPUT{name}": (0,) for name in DATATYPES
    }


def test_bf16_comes_back_to_the_last_bit(face: Face) -> None:
    sent = np.arange(0, 1 << 16, 37, dtype=np.uint16).view(ml_dtypes.bfloat16)
    answer = face.infer(Call("bf16", {"INPUT0": sent}, datatypes={"INPUT0": "BF16"}))
    assert answer.outputs["OUTPUT0"].tobytes() == sent.tobytes()


def test_bf16_may_travel_beside_strings(face: Face) -> None:
    sent = np.array([1.5, -2, 0], ml_dtypes.bfloat16)
    texts = np.array([b"one", b""], np.object_)
    answer = face.infer(Call("from_bf16", {"INPUT0": sent, "INPUT1": texts}, datatypes={"INPUT0": "BF16"}))
    assert answer.outputs["OUTPUT0"].tolist() == [1.5, -2.0, 0.0]
    same(answer.outputs["OUTPUT1"], texts)


def test_sum_and_difference_are_exact(face: Face) -> None:
    left = np.arange(32, dtype=np.int32).reshape(2, 16)
    right = np.full((2, 16), 1_000_000, np.int32)
    answer = face.infer(Call("simple", {"INPUT0": left, "INPUT1": right}))
    same(answer.outputs["OUTPUT0"], left + right)
    same(answer.outputs["OUTPUT1"], left - right)


@pytest.mark.parametrize("names", [["OUTPUT1"], ["OUTPUT1", "OUTPUT0"]])
def test_only_the_outputs_that_are_named_are_answered(face: Face, names: list[str]) -> None:
    ones = np.ones((1, 16), np.int32)
    answer = face.infer(Call("simple", {"INPUT0": ones, "INPUT1": ones}, outputs=names))
    assert set(answer.outputs) == set(names)


@pytest.mark.parametrize("request_id", ["", "my-1", "mit Ümlaut ✓"])
def test_an_answer_carries_its_requests_id(face: Face, request_id: str) -> None:
    answer = face.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)}, request_id=request_id))
    assert (answer.request_id, answer.model, answer.version) == (request_id, "echo", "1")


@pytest.mark.parametrize(("version", "answered"), [("", 3), ("1", 1), ("3", 3)])
def test_the_version_asked_for_answers_and_the_newest_without_one(face: Face, version: str, answered: int) -> None:
    answer = face.infer(Call("versioned", {"INPUT0": np.zeros((1, 4), np.int32)}, version=version))
    assert answer.version == str(answered)
    assert answer.outputs["OUTPUT0"].tolist() == [[answered] * 4]


@pytest.mark.parametrize("items", range(1, 9))
def test_every_batch_size_up_to_the_limit_is_answered(face: Face, items: int) -> None:
    left = np.arange(items * 16, dtype=np.int32).reshape(items, 16)
    answer = face.infer(Call("simple", {"INPUT0": left, "INPUT1": left * 7}))
    same(answer.outputs["OUTPUT0"], left * 8)


@pytest.mark.parametrize("items", [0, 1, 3, 10])
def test_an_output_may_have_a_shape_that_depends_on_the_data(face: Face, items: int) -> None:
    sent = np.zeros(10, np.float32)
    sent[:items] = 5
    answer = face.infer(Call("nonzero", {"INPUT0": sent}))
    same(answer.outputs["OUTPUT0"], np.arange(items, dtype=np.int64).reshape(1, items))


def test_large_answers_whose_shape_depends_on_the_data_are_right_every_time(plain_face: Face) -> None:
    random = np.random.default_rng(1)
    for share in (0.9, 0.5, 0.9, 0.1, 0.0, 1.0):
        sent = (random.random(50_000) < share).astype(np.float32)
        answer = plain_face.infer(Call("nonzero", {"INPUT0": sent}))
        same(answer.outputs["OUTPUT0"], np.flatnonzero(sent).reshape(1, -1))


@pytest.mark.parametrize("shape", [(2, 0), (2, 1), (2, 1000)])
def test_variable_dimensions_come_back_as_sent(face: Face, shape: tuple[int, ...]) -> None:
    sent = np.random.default_rng(2).random(shape, dtype=np.float32)
    same(face.infer(Call("matrix", {"INPUT0": sent})).outputs["OUTPUT0"], sent)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the aio client's own way
@pytest.mark.parametrize("size_bytes", [600_000, 20_000_000])
def test_large_tensors_come_back_to_the_last_bit(face: Face, size_bytes: int) -> None:
    sent = np.random.default_rng(3).random(size_bytes // 4, dtype=np.float32)
    for _ in range(3):
        same(face.infer(Call("echo", {"INPUT0": sent})).outputs["OUTPUT0"], sent)


def test_strings_in_batches_stay_apart(face: Face) -> None:
    sent = np.array([[b"a", b""], [b"ccc", b"\xc3\xbc"]], np.object_)
    same(face.infer(Call("strings", {"INPUT0": sent})).outputs["OUTPUT0"], sent)


def test_json_tensors_give_the_same_answer(server: Server) -> None:
    left = np.arange(16, dtype=np.int32).reshape(1, 16)
    call = Call("simple", {"INPUT0": left, "INPUT1": left}, outputs=["OUTPUT0", "OUTPUT1"], binary=False)
    with contextlib.closing(HttpFace(server)) as client:
        answer = client.infer(call)
    same(answer.outputs["OUTPUT0"], left * 2)
    same(answer.outputs["OUTPUT1"], left * 0)
