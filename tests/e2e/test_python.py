"""Python models as users of Triton wrote them: values, requests, responses and batches."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.e2e.python_server import call, python_face, python_server, refused, run, said
from tests.e2e.test_infer import same, samples
from tests.harness.faces import Call, Face
from tests.harness.repository import DATATYPES
from tests.harness.server import Server

__all__ = ["python_face", "python_server"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_to_the_last_bit(python_face: Face, datatype: str) -> None:
    sent = samples(datatype)
    answer = python_face.infer(Call("py_echo", {f"IN{datatype}": sent}))
    assert list(answer.outputs) == [f"OUT{datatype}"]
    same(answer.outputs[f"OUT{datatype}"], sent)


def test_bf16_travels_by_dlpack(python_face: Face) -> None:
    sent = np.arange(0, 1 << 16, 37, dtype=np.uint16).view(ml_dtypes.bfloat16)
    answer = python_face.infer(Call("py_echo", {"INBF16": sent}, datatypes={"INBF16": "BF16"}))
    assert answer.outputs["OUTBF16"].tobytes() == sent.tobytes()


def test_bf16_is_no_numpy_array(python_face: Face) -> None:
    inputs = {"CODE": np.array([b"request.inputs()[1].as_numpy()"], object), "B": np.zeros(2, ml_dtypes.bfloat16)}
    with pytest.raises(Exception, match="Tensor dtype is BF16 and cannot be converted to NumPy"):
        python_face.infer(Call("code", inputs, datatypes={"B": "BF16"}))


@pytest.mark.parametrize("items", [1, 3, 8])
def test_batches_come_with_their_first_dimension(python_face: Face, items: int) -> None:
    sent = np.random.default_rng(1).random((items, 5), dtype=np.float32)
    same(python_face.infer(Call("py_batched", {"INFP32": sent})).outputs["OUTFP32"], sent)


def test_large_tensors_come_back_to_the_last_bit(python_face: Face) -> None:
    sent = np.random.default_rng(3).random(2_000_000, dtype=np.float32)
    for _ in range(3):
        same(python_face.infer(Call("py_echo", {"INFP32": sent})).outputs["OUTFP32"], sent)


@pytest.mark.parametrize(
    ("array", "answered"),
    [
        ("np.array(['ü', b'b', '', 1, 2.5, None, np.bytes_(b'c')], object)", ["ü", "b", "", "1", "2.5", "None", "c"]),
        ("np.array([b'ab', b'c'], 'S3')", ["ab", "c"]),
        ("np.array([['a', 'b'], ['c', 'd']], object).T", ["a", "c", "b", "d"]),
    ],
)
def test_strings_may_be_objects_or_bytes(python_face: Face, array: str, answered: list[str]) -> None:
    answer = run(python_face, f"out = [pb.InferenceResponse([pb.Tensor('OUT', {array})])]")
    assert [each.decode() for each in answer.outputs["OUT"].ravel()] == answered


def test_an_input_may_be_changed_in_place_and_an_output_be_no_copy(python_face: Face) -> None:
    code = "a = request.inputs()[1].as_numpy(); a *= 2; out = [pb.InferenceResponse([pb.Tensor('X', a[::-1])])]"
    answer = run(python_face, code, F=np.arange(4, dtype=np.float32))
    assert answer.outputs["X"].tolist() == [6, 4, 2, 0]


def test_the_datatype_of_an_output_is_that_of_its_array(python_face: Face) -> None:
    answer = run(python_face, "out = [pb.InferenceResponse([pb.Tensor('X', np.array(3.5))])]")
    same(answer.outputs["X"], np.array(3.5))


def test_an_optional_input_may_be_absent(python_face: Face) -> None:
    code = "out = [R([each.name() for each in request.inputs()])]"
    assert said(python_face, code) == "['CODE']"
    assert said(python_face, code, F=np.zeros(1, np.float32)) == "['CODE', 'F']"


def test_outputs_that_are_not_asked_for_or_unknown_are_dropped(python_face: Face) -> None:
    code = (
        "t = lambda n: pb.Tensor(n, np.zeros(1, np.float32)); out = [pb.InferenceResponse([t('X'), t('OUT'), t('Q')])]"
    )
    assert set(run(python_face, code).outputs) == {"X", "OUT"}
    assert set(python_face.infer(call(code, outputs=["X"])).outputs) == {"X"}
    names = "out = [R(sorted(request.requested_output_names()))]"
    assert said(python_face, names) == "['OUT', 'X']"
    only = python_face.infer(call(names, outputs=["OUT"]))
    assert only.outputs["OUT"].tolist() == [b"['OUT']"]


def test_a_response_may_have_no_outputs(python_face: Face) -> None:
    assert run(python_face, "out = [pb.InferenceResponse()]").outputs == {}


def test_a_model_reads_id_and_parameters_of_its_request(python_server: Server) -> None:
    code = np.array([b"out = [R(json.dumps([request.request_id(), json.loads(request.parameters())]))]"], object)
    given = {"a": 1, "b": "x", "c": True}
    for module, address in (
        (tritonclient.http, python_server.http_address),
        (tritonclient.grpc, python_server.grpc_address),
    ):
        with module.InferenceServerClient(address) as client:
            tensor = module.InferInput("CODE", [1], "BYTES")
            tensor.set_data_from_numpy(code)
            answer = client.infer("code", [tensor], request_id="my", parameters=given)
            assert json.loads(answer.as_numpy("OUT")[0]) == ["my", given]


def test_parameters_of_a_response_reach_the_client(python_server: Server) -> None:
    code = b"out = [R(1, parameters={'s': 'x', 'b': True, 'i': -5})]"
    with tritonclient.grpc.InferenceServerClient(python_server.grpc_address) as client:
        tensor = tritonclient.grpc.InferInput("CODE", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([code], object))
        response = client.infer("code", [tensor]).get_response()
    assert {name: value.WhichOneof("parameter_choice") for name, value in response.parameters.items()} == {
        "s": "string_param",
        "b": "bool_param",
        "i": "int64_param",
    }


def test_initialize_is_told_strings_as_triton_gives_them(python_face: Face, python_server: Server) -> None:
    arguments = json.loads(said(python_face, "out = [R(json.dumps(self.args))]"))
    config = json.loads(arguments.pop("model_config"))
    assert arguments == {
        "model_instance_kind": "CPU",
        "model_instance_name": "code_0_0",
        "model_instance_device_id": "0",
        "model_repository": str(python_server.repository / "code"),
        "model_version": "1",
        "model_name": "code",
    }
    shown = python_face.ask("get_model_config", "code")
    assert "config" in shown or config == shown, "over HTTP it is the same JSON"
    assert config["parameters"] == {"k": {"string_value": "v"}}


def test_the_module_is_named_by_its_version_and_finds_what_lies_beside_it(
    python_face: Face, python_server: Server
) -> None:
    assert said(python_face, "out = [R(type(self).__module__)]") == "1.model"
    model = python_server.repository / "code"
    assert said(python_face, "out = [R(sys.path[-2:])]") == str([str(model / "1"), str(model)])
    assert said(python_face, "out = [R(pb.get_model_dir())]") == str(model / "1")


def test_requests_that_arrive_together_are_executed_together(python_server: Server, python_face: Face) -> None:
    code = "out = [R(len(requests), i) for i in range(len(requests))]"
    barrier = threading.Barrier(3)

    def ask(_: int) -> str:
        barrier.wait()
        return said(python_face, code, "code_batched")

    if type(python_face).__name__ == "HttpFace":
        pytest.skip("one connection at a time")
    with ThreadPoolExecutor(3) as threads:
        assert "3" in set(threads.map(ask, range(3)))


def test_an_error_of_one_response_leaves_the_others_of_its_batch_alone(python_face: Face) -> None:
    code = "out = [pb.InferenceResponse(error=pb.TritonError('mine', pb.TritonError.NOT_FOUND)) for _ in requests]"
    error = refused(python_face, code, "code_batched")
    assert (error.status, error.text) in {("404", "mine"), ("NOT_FOUND", "mine")}
    assert said(python_face, "out = [R('well') for _ in requests]", "code_batched") == "well"
