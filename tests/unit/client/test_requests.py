"""What a program asks becomes a message: where tensors are put, and what is packed anew. No server, no socket."""

import itertools
import os
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from tis.client.memory import Memory, Region
from tis.client.requests import Need, Prepared, Request, Requests

SIZE = 1 << 20
SMALL, LARGE = np.arange(10, dtype=np.int32), np.arange(10_000, dtype=np.float32)
ABOUT = {
    "max_batch_size": 0,
    "decoupled": False,
    "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1]}, {"name": "Z", "datatype": "INT32", "shape": [4]}],
}


class Maker:
    """Requests of one connection whose memory is one region, and what they say."""

    def __init__(self, region: Region, **about: Any) -> None:
        self.region = region
        self.memory = Memory()
        self.memory.add(region)
        self.requests = Requests(self.memory, itertools.count(1).__next__, is_plain=False)
        self.requests.learn("m", "", {**ABOUT, **about})

    def made(self, inputs: dict[str, Any], **more: Any) -> Prepared:
        found = self.requests.prepared(request(inputs, **more))
        assert isinstance(found, Prepared)
        return found

    def said(self, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
        head: dict[str, Any] = msgpack.unpackb(self.made(inputs, **more).message)
        return head

    def array(self, count: int) -> Any:
        block = self.memory.take(count * 4)
        assert block is not None
        return block.array((count,), np.dtype(np.float32))


def request(inputs: dict[str, Any], outputs: Any = None, request_id: str = "", parameters: Any = None) -> Request:
    return Request("m", inputs, outputs, "", request_id, parameters)


@pytest.fixture
def maker() -> Iterator[Maker]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, SIZE)
    about = os.fstat(fd)
    yield Maker(Region("r", f"/proc/self/fd/{fd}", SIZE, (about.st_dev, about.st_ino)))
    os.close(fd)


def test_a_model_is_asked_about_first_and_memory_where_there_is_none(maker: Maker) -> None:
    asked = Request("other", {"X": LARGE}, None, "", "", None)
    assert maker.requests.prepared(asked) == Need()
    maker.requests.learn("other", "", ABOUT)
    taken = maker.array(SIZE // 4)
    assert maker.requests.prepared(asked) == Need(LARGE.nbytes)
    # Where there is no more to be had, it travels in the message; nothing of the attempt stays taken.
    prepared = maker.requests.prepared(asked, may_grow=False)
    assert isinstance(prepared, Prepared)
    assert prepared.frames is not None
    assert [bytes(frame) for frame in prepared.frames] == [LARGE.tobytes()]
    del taken, prepared
    assert maker.region.is_unused


def test_the_same_request_is_packed_once(maker: Maker) -> None:
    array = maker.array(5000)
    first, *others = [maker.said({"X": array, "I": SMALL}) for _ in range(5)]
    assert len(maker.requests._templates) == 1
    for number, other in enumerate(others, 2):
        assert other == {**first, "id": number}
    (entry, small) = first["inputs"]
    assert entry == {"name": "X", "datatype": "FP32", "shape": [5000], "region": "r", "offset": 0, "size": 20_000}
    assert small == {"name": "I", "datatype": "INT32", "shape": [10], "frame": 0}
    assert list(first)[-1] == "id"


def test_whatever_changes_is_said(maker: Maker) -> None:
    base = maker.said({"X": LARGE})
    assert maker.said({"X": LARGE[:5000]})["inputs"][0]["shape"] == [5000]
    assert maker.said({"X": LARGE.reshape(2, -1)})["inputs"][0]["shape"] == [2, 5000]
    assert maker.said({"X": LARGE.view(np.int32)})["inputs"][0]["datatype"] == "INT32"
    assert maker.said({"W": LARGE})["inputs"][0]["name"] == "W"
    assert maker.said({"X": LARGE}, request_id="me")["request_id"] == "me"
    for value in (1, True, 1.0, "1"):
        found = maker.said({"X": LARGE}, parameters={"p": value})["parameters"]["p"]
        assert (found, type(found)) == (value, type(value))
    assert [each["name"] for each in maker.said({"X": LARGE}, outputs=["Z"])["outputs"]] == ["Z"]
    assert maker.said({"X": LARGE}).keys() == base.keys()


def test_an_array_that_has_been_given_another_shape_is_not_taken_for_what_it_was(maker: Maker) -> None:
    array = maker.array(5000)
    maker.said({"X": array})
    array.shape = (50, 100)
    assert maker.said({"X": array})["inputs"][0]["shape"] == [50, 100]
    part = array[10:]
    assert maker.said({"X": part})["inputs"][0]["offset"] == 4000
    del part
    # Its number may be another array's by now.
    assert "region" not in maker.said({"X": np.zeros(16, np.float32)})["inputs"][0]


def test_ids_that_differ_are_not_kept(maker: Maker) -> None:
    for number in range(10):
        maker.said({"X": SMALL}, request_id=str(number))
    assert not maker.requests._templates
    for number in range(1, 1000):
        maker.said({"X": LARGE[:number]})
    assert len(maker.requests._templates) <= 256


def test_strings_and_numbers_of_the_other_order_are_said_as_they_are(maker: Maker) -> None:
    prepared = maker.made({"S": np.array(["a", "zwölf"], object), "B": SMALL.astype(">i4")})
    assert prepared.frames == [b"\1\0\0\0a\6\0\0\0zw\xc3\xb6lf", SMALL.tobytes()]
    assert maker.made({"S": np.array(["ab"], object)}).frames == [b"\2\0\0\0ab"]
    assert maker.made({"S": np.array(["abc"], object)}).frames == [b"\3\0\0\0abc"]


def test_many_small_inputs_find_room_in_the_head(maker: Maker) -> None:
    prepared = maker.made({f"X{number}": SMALL + number for number in range(300)})
    assert prepared.frames is not None
    assert len(prepared.frames) == 64
    inputs = msgpack.unpackb(prepared.message)["inputs"]
    for number, each in enumerate(inputs):
        data = prepared.frames[each["frame"]] if "frame" in each else each["data"]
        assert data == (SMALL + number).tobytes()


def reply(**output: Any) -> dict[str, Any]:
    about = {"model": "m", "version": "1", "request_id": "", "parameters": {}, "final": True}
    return {**about, "outputs": {output["name"]: output}}


def test_outputs_get_room_once_it_is_known_how_large_they_are(maker: Maker) -> None:
    prepared = maker.made({"X": LARGE})
    assert "outputs" not in msgpack.unpackb(prepared.message)
    came = reply(name="Y", datatype="FP32", shape=[10_000], size=40_000, frame=0)
    assert (maker.requests.result(prepared, came, [LARGE.tobytes()])["Y"] == LARGE).all()
    prepared = maker.made({"X": LARGE})
    first, second = msgpack.unpackb(prepared.message)["outputs"]
    assert (first["name"], first["size"], first["spill"]) == ("Y", 40_000, True)
    assert second == {"name": "Z"}
    came = reply(name="Y", datatype="FP32", shape=[100], size=400, region="r", offset=first["offset"])
    result = maker.requests.result(prepared, came, [])
    maker.region.bytes[first["offset"] : first["offset"] + 400] = LARGE[:100].view(np.uint8)
    view = result["Y"]
    assert (view == LARGE[:100]).all()
    assert result["Y"] is view
    del prepared
    result.release()
    assert maker.region.used_bytes == 40_000
    del view
    assert maker.region.is_unused


def test_each_response_of_a_decoupled_model_comes_in_a_message(maker: Maker) -> None:
    decoupled = Maker(maker.region, decoupled=True, outputs=[{"name": "Y", "datatype": "FP32", "shape": [10_000]}])
    assert "outputs" not in decoupled.said({"X": LARGE})
    assert decoupled.said({"X": LARGE}, outputs=["Y"])["outputs"] == [{"name": "Y"}]


def test_what_a_server_says_beyond_the_room_that_it_was_given_is_an_error(maker: Maker) -> None:
    outputs = [{"name": "Y", "datatype": "FP32", "shape": [2000]}]
    fixed = Maker(maker.region, outputs=outputs)
    prepared = fixed.made({"X": SMALL})
    came = reply(name="Y", datatype="FP32", shape=[1 << 40], size=8000, region="r", offset=0)
    with pytest.raises(ValueError, match="does not fit"):
        fixed.requests.result(prepared, came, [])["Y"]


class Foreign:
    """Another library's tensor."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **more: Any) -> Any:
        return self._array.__dlpack__(**more)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


def test_tensors_of_other_libraries_are_found_where_they_lie(maker: Maker) -> None:
    array = maker.array(5000)
    said = maker.said({"X": Foreign(array)}, outputs={"Y": Foreign(array)})
    assert said["inputs"][0]["offset"] == said["outputs"][0]["offset"] == 0
    own = np.zeros(3, np.float32)
    prepared = maker.made({"X": SMALL}, outputs={"Y": Foreign(own)})
    came = reply(name="Y", datatype="FP32", shape=[3], size=12, frame=0)
    maker.requests.result(prepared, came, [LARGE[:3].tobytes()])
    assert own.tolist() == [0, 1, 2]
    for wrong, text in (([1, 2], "a list"), (LARGE[::2], "no contiguous"), (Foreign(LARGE[::2]), "no contiguous")):
        with pytest.raises(TypeError, match=text):
            maker.made({"X": SMALL}, outputs={"Y": wrong})
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(TypeError, match="may be written to"):
        maker.made({"X": SMALL}, outputs={"Y": fixed})
