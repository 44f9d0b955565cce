"""A direct client's `infer`: what is read, what is refused, and that only its own regions and public ones can be named."""

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts import messages as m
from tis.contracts.inference import InferRequest, Place
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.direct import messages as dm
from tis_frontend.direct.infer_request import Data, parse
from tis_frontend.regions import RegionTable

SPEC = ModelSpec("m", 1, "", "onnxruntime", 0, (TensorSpec("A", "FP32", (4,)),), (TensorSpec("Y", "FP32", (4,)),))
A = {"name": "A", "datatype": "FP32", "shape": [4]}
REGIONS = RegionTable()
REGIONS.replace(
    m.Regions(
        1,
        (
            m.Region(1, "public", "system", "/p", 0, 100),
            m.Region(2, "mine", "system", "/m", 0, 100, client="me"),
            m.Region(3, "mine", "system", "/t", 0, 10, client="you"),
            m.Region(4, "public", "system", "/o", 0, 50, client="you"),
        ),
    )
)


def read(client: str = "me", frames: tuple[bytes, ...] = (), **keys: Any) -> tuple[InferRequest, list[Data], int]:
    head = {"type": "infer", "id": 1, "model": "m", "inputs": [], **keys}
    message = dm.decode(msgpack.packb(head))
    assert isinstance(message, dm.Infer)
    return parse(SPEC, message, frames, REGIONS, client)


def refusal(**keys: Any) -> tuple[Code, str]:
    with pytest.raises(TisError) as refused:
        read(**keys)
    return refused.value.code, refused.value.message


def test_inputs_are_read_from_heads_frames_and_regions() -> None:
    inputs = [{**A, "data": b"x" * 16}, {**A, "frame": 0}, {**A, "region": "mine", "offset": 8, "size": 16}]
    request, pieces, block_bytes = read(inputs=inputs, frames=(b"y" * 16,))
    assert [(each.region, each.start, each.size_bytes) for each in request.inputs] == [
        (0, 0, 16),
        (0, 64, 16),
        (2, 8, 16),
    ]
    assert pieces == [b"x" * 16, b"y" * 16, b""]
    assert block_bytes == 128


@pytest.mark.parametrize(("client", "name", "number"), [("me", "public", 1), ("you", "public", 4), ("you", "mine", 3)])
def test_a_clients_own_names_go_first(client: str, name: str, number: int) -> None:
    request, _, _ = read(client, inputs=[{**A, "region": name, "size": 8}])
    assert request.inputs[0].region == number


def test_another_clients_region_cannot_be_named_nor_listed() -> None:
    for client in ("", "else"):
        with pytest.raises(TisError, match="Unable to find shared memory region: 'mine'"):
            REGIONS.place("mine", 0, 1, client)
    assert [region.number for region in REGIONS.status("", "system")] == [1]


def test_outputs_have_places_and_classes() -> None:
    outputs = [{"name": "Y", "region": "mine", "offset": 4, "size": 16, "spill": True}]
    assert read(outputs=outputs)[0].placements == {"Y": Place(2, 4, 16, spill=True)}
    assert read(outputs=[{"name": "Y", "classes": 3}])[0].classification == {"Y": 3}


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"inputs": [A]}, "exactly one of"),
        ({"inputs": [{**A, "data": b"", "frame": 0}]}, "exactly one of"),
        ({"inputs": [{**A, "frame": 1}], "frames": (b"",)}, "is in frame 1, but there are 1"),
        ({"inputs": [{**A, "data": b"", "size": 1}]}, "without a 'region'"),
        ({"inputs": [{**A, "region": "mine"}]}, "without a 'size'"),
        ({"inputs": [{**A, "region": "mine", "size": 101}]}, "Invalid offset + byte size"),
        ({"outputs": [{"name": "X"}]}, "unexpected inference output 'X'"),
        ({"outputs": [{"name": "Y", "spill": True}]}, "without a 'region'"),
        ({"outputs": [{"name": "Y", "region": "mine", "size": 1, "classes": 1}]}, "can't have both"),
        ({"parameters": {"timeout": "x"}}, "timeout"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], text: str) -> None:
    assert text in refusal(**keys)[1]


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_an_error(data: bytes) -> None:
    try:
        dm.decode(data)
    except msgspec.DecodeError:
        assert 0 <= dm.id_of(data) < 1 << 63


def test_the_id_of_a_wrong_message_is_found_where_it_has_one() -> None:
    assert dm.id_of(msgpack.packb({"type": "nothing", "id": 7})) == 7
    for head in ({"id": "x"}, {"id": -1}, {"id": 1 << 63}, [7], {}):
        assert dm.id_of(msgpack.packb(head)) == 0
