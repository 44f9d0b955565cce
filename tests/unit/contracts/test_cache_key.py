"""The key of a cached answer has everything in it that a model may make its answer of, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts.cache_key import cache_head, cache_key
from tis.contracts.model_spec import ModelSpec, TensorSpec

OUTPUTS = (TensorSpec("X", "FP32", (-1,)), TensorSpec("Y", "FP32", (-1,)))
SPEC: dict[str, Any] = {
    "name": "m",
    "version": 1,
    "platform": "",
    "backend": "onnxruntime",
    "max_batch_size": 0,
    "inputs": (),
    "outputs": OUTPUTS,
    "fingerprint": "f",
    "config": b"c",
}
INPUTS = (("A", "FP32", (2, 3)), ("B", "INT32", (6,)))


def head(
    inputs: Any = INPUTS, outputs: Any = None, parameters: Mapping[str, Any] | None = None, **changed: Any
) -> bytes:
    return cache_head(ModelSpec(**SPEC | changed), inputs, outputs, parameters or {})


@pytest.mark.parametrize(
    "other",
    [
        head(name="n"),
        head(version=2),
        head(fingerprint="g"),
        head(config=b"d"),
        head((INPUTS[0],)),
        head((("A", "FP32", (3, 2)), INPUTS[1])),
        head((("A", "FP32", (6,)), INPUTS[1])),
        head((("A", "INT32", (2, 3)), INPUTS[1])),
        head((("C", "FP32", (2, 3)), INPUTS[1])),
        head(outputs=(0,)),
        head(outputs=(1,)),
        head(parameters={"p": 1}),
        head(parameters={"p": 1.0}),
        head(parameters={"p": True}),
        head(parameters={"p": "1"}),
        head(parameters={"q": 1}),
    ],
)
def test_a_request_that_differs_in_anything_has_another_key(other: bytes) -> None:
    assert other != head()
    assert head(parameters={"p": 1}) != head(parameters={"p": True}) != head(parameters={"p": 1.0})


def test_the_order_in_which_things_are_said_does_not_matter() -> None:
    assert head(INPUTS[::-1]) == head()
    assert head(parameters={"a": 1, "b": 2}) == head(parameters={"b": 2, "a": 1})
    assert head(outputs=(1, 0)) == head(outputs=(0, 1, 1)) == head(outputs=None)


tensors = st.lists(st.binary(max_size=9), max_size=3)


@given(tensors, tensors)
def test_the_same_data_and_no_other_have_the_same_key(some: list[bytes], others: list[bytes]) -> None:
    assert (cache_key(b"h", map(memoryview, some)) == cache_key(b"h", others)) == (some == others)


def test_a_key_is_a_hash_that_cannot_be_forged() -> None:
    assert len(cache_key(head(), [b"x"])) == 32
    assert cache_key(head(), [b"x"]) != cache_key(head(version=2), [b"x"])
