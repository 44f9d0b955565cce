"""Large gRPC requests that are read field by field come out as the protobuf library reads them."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tests.unit.frontend.connection import FakeCore
from tis.errors import TisError
from tis_frontend.grpc.large_request import LargeRequest

_PIECES = st.lists(st.integers(1, 5000), min_size=1, max_size=20)


def fed(data: bytes, pieces: list[int], *, through_room: bool = False) -> tuple[FakeCore, LargeRequest]:
    core = FakeCore()
    large = LargeRequest(core, len(data))  # type: ignore[arg-type]
    at = number = 0
    view = memoryview(data)
    while at < len(data):
        piece = view[at : at + pieces[number % len(pieces)]]
        room = large.room() if through_room else None
        if room is not None:
            piece = piece[: len(room)]
            room[: len(piece)] = piece
            large.filled(len(piece))
        else:
            large.feed(piece)
        at += len(piece)
        number += 1
    return core, large


@given(
    sizes=st.lists(st.one_of(st.integers(0, 300), st.sampled_from([65_536, 100_001])), max_size=5),
    name=st.text(max_size=300),
    parameters=st.dictionaries(st.text(max_size=5), st.integers(-(1 << 62), 1 << 62), max_size=3),
    pieces=_PIECES,
    through_room=st.booleans(),
)
def test_whatever_the_pieces_tensors_are_in_their_places_and_the_rest_is_the_message(
    sizes: list[int], name: str, parameters: dict[str, int], pieces: list[int], through_room: bool
) -> None:
    message = pb.ModelInferRequest(model_name=name, id="x" * 200)
    for key, value in parameters.items():
        message.parameters[key].int64_param = value
    tensors = [np.random.default_rng(size).bytes(size) for size in sizes]
    for number, tensor in enumerate(tensors):
        message.inputs.add(name=f"in{number}", datatype="UINT8", shape=[len(tensor)])
        message.raw_input_contents.append(tensor)
    core, large = fed(message.SerializeToString(), pieces, through_room=through_room)
    rest = pb.ModelInferRequest.FromString(large.head)
    del message.raw_input_contents[:]
    assert rest == message
    block = core.blocks[large.block.offset]
    assert [bytes(block[start : start + size]) for start, size in large.places] == tensors
    assert all(start % 64 == 0 for start, _ in large.places)


def test_a_message_that_ends_inside_a_field_is_none() -> None:
    data = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"x" * 100]).SerializeToString()
    for end in (1, 2, 4, 50, len(data) - 1):
        _, large = fed(data[:end], [7])
        with pytest.raises(TisError, match="Unable to parse request"):
            assert large.head


@given(data=st.binary(max_size=200), pieces=_PIECES)
def test_bytes_that_are_no_message_are_refused_or_left_to_the_library(data: bytes, pieces: list[int]) -> None:
    with contextlib.suppress(TisError):
        _, large = fed(data, pieces)
        assert len(large.head) <= len(data)
