"""An answer over HTTP: outputs in the order in which they were made, JSON flat, binary parts behind it in that order."""

import json
from typing import Any

import numpy as np
import pytest

from tis.contracts.inference import Answer, InferRequest, OutputTensor, Parameter
from tis.errors import Code, TisError
from tis_frontend.http.infer_request import HttpInfer
from tis_frontend.http.infer_response import render


def call(*, client_id: str = "", all_binary: bool = False, **binary: bool) -> HttpInfer:
    return HttpInfer(InferRequest("m", 3, client_id, []), binary, all_binary, [], 0)


def output(name: str, values: Any, dtype: str = "<f4", datatype: str = "FP32") -> OutputTensor:
    array = np.array(values, dtype)
    return OutputTensor(name, datatype, array.shape, memoryview(array.tobytes()))


Y = output("Y", [[1.0, 2.5]])
Z = output("Z", [7], "<i4", "INT32")


def test_the_json_answer_is_compact_and_in_tritons_order_of_members() -> None:
    headers, text, blobs = render(call(client_id="x"), Answer([Y, Z]))
    assert text == (
        b'{"id":"x","model_name":"m","model_version":"3","outputs":['
        b'{"name":"Y","datatype":"FP32","shape":[1,2],"data":[1.0,2.5]},'
        b'{"name":"Z","datatype":"INT32","shape":[1],"data":[7]}]}'
    )
    assert headers == b"Content-Type: application/json\r\n"
    assert blobs == []


def test_parameters_of_the_model_stand_before_the_outputs_and_are_never_remembered() -> None:
    same = call(Y=True)
    assert "parameters" not in json.loads(render(same, Answer([Y]))[1])
    for value in (1e20, 2.5):
        parameters: dict[str, Parameter] = {"i": -5, "s": "x", "b": True, "d": value}
        text = render(same, Answer([Y], parameters=parameters))[1]
        printed = b"100000000000000000000.0" if value == 1e20 else b"2.5"
        assert b'"model_version":"3","parameters":{"i":-5,"s":"x","b":true,"d":%s},"outputs":' % printed in text
    assert "parameters" not in json.loads(render(same, Answer([Y]))[1])


def test_without_an_id_the_answer_has_none() -> None:
    assert "id" not in json.loads(render(call(), Answer([Y]))[1])


def test_binary_outputs_follow_the_json_in_the_order_they_have_there() -> None:
    headers, text, blobs = render(call(Z=True, Y=True), Answer([Y, Z]))
    outputs = json.loads(text)["outputs"]
    assert [(each["name"], each["parameters"]) for each in outputs] == [
        ("Y", {"binary_data_size": 8}),
        ("Z", {"binary_data_size": 4}),
    ]
    assert all("data" not in each for each in outputs)
    assert [bytes(blob) for blob in blobs] == [bytes(Y.data), bytes(Z.data)]
    assert headers == (b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n" % len(text))


def test_binary_parts_are_views_and_no_copies() -> None:
    [blob] = render(call(Y=True), Answer([Y]))[2]
    assert blob.obj is Y.data.obj


def test_json_and_binary_outputs_can_be_mixed() -> None:
    _, text, blobs = render(call(Y=False, Z=True), Answer([Y, Z]))
    first, second = json.loads(text)["outputs"]
    assert first["data"] == [1.0, 2.5]
    assert second["parameters"] == {"binary_data_size": 4}
    assert len(blobs) == 1


def test_outputs_that_are_not_listed_follow_the_request() -> None:
    assert len(render(call(all_binary=True), Answer([Y, Z]))[2]) == 2
    assert len(render(call(all_binary=True, Y=False), Answer([Y, Z]))[2]) == 1


def test_an_empty_binary_output_adds_no_part_and_alone_leaves_the_answer_json() -> None:
    empty = output("E", np.empty((0, 4)))
    headers, text, blobs = render(call(all_binary=True), Answer([empty]))
    assert json.loads(text)["outputs"] == [
        {"name": "E", "datatype": "FP32", "shape": [0, 4], "parameters": {"binary_data_size": 0}}
    ]
    assert blobs == []
    assert b"application/json" in headers


def test_half_floats_leave_as_binary_and_not_as_json() -> None:
    half = output("H", [1.0], "<f2", "FP16")
    with pytest.raises(TisError) as caught:
        render(call(), Answer([half]))
    assert caught.value.code is Code.INVALID_ARG
    assert [bytes(blob) for blob in render(call(H=True), Answer([half]))[2]] == [bytes(half.data)]


# ---- a call that is answered again ---------------------------------------------------------------------------------


def test_the_next_answer_of_the_same_form_has_its_own_data() -> None:
    again = call(all_binary=True)
    first = render(again, Answer([Y]))
    other = output("Y", [[8.0, 9.0]])
    second = render(again, Answer([other]))
    assert second[:2] == first[:2]
    assert [bytes(blob) for blob in second[2]] == [bytes(other.data)]


@pytest.mark.parametrize(
    "other",
    [
        [output("Y", [[1.0], [2.0]])],
        [output("Y", [[1, 2]], "<i4", "INT32")],
        [Y, Z],
        [],
        [output("Y", np.empty((0, 2)))],
    ],
)
def test_an_answer_of_another_form_is_described_anew(other: list[OutputTensor]) -> None:
    again = call(all_binary=True)
    render(again, Answer([Y]))
    assert render(again, Answer(other)) == render(call(all_binary=True), Answer(other))


def test_strings_of_other_lengths_are_described_anew() -> None:
    again = call(all_binary=True)
    for text in (b"a", b"abc", b""):
        data = len(text).to_bytes(4, "little") + text
        answer = Answer([OutputTensor("S", "BYTES", (1,), memoryview(data))])
        [entry] = json.loads(render(again, answer)[1])["outputs"]
        assert entry["parameters"] == {"binary_data_size": len(data)}


def test_json_outputs_are_written_anew_each_time() -> None:
    again = call(Y=True, Z=False)
    for value in (1, 2):
        text = render(again, Answer([Y, output("Z", [value], "<i4", "INT32")]))[1]
        assert json.loads(text)["outputs"][1]["data"] == [value]
