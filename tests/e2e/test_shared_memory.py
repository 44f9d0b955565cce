"""Clients' own shared memory through NVIDIA's clients: tensors by name, in and out, and nothing outside of a region."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

from tests.harness.faces import FACES, Face
from tests.harness.region_client import LEFT, RIGHT, TENSOR_BYTES, RegionClient
from tests.harness.server import Server
from tests.harness.shared_memory import SharedObjects, shared_objects

__all__ = ["shared_objects"]


@pytest.fixture
def client(face: Face) -> Iterator[RegionClient]:
    """Each client in turn; the server has no regions when the test ends."""
    made = RegionClient(face)
    yield made
    made.ask("unregister_system_shared_memory")


@pytest.fixture
def plain_client(plain_face: Face) -> Iterator[RegionClient]:
    """The two clients without asyncio."""
    made = RegionClient(plain_face)
    yield made
    made.ask("unregister_system_shared_memory")


def listed(client: RegionClient, name: str = "") -> list[dict[str, Any]]:
    """The status of regions, in one form for both protocols."""
    found = client.ask("get_system_shared_memory_status", name)
    if isinstance(found, list):
        return found
    return [
        {**each, "offset": int(each["offset"]), "byte_size": int(each["byte_size"])}
        for each in found["regions"].values()
    ]


def test_inputs_and_outputs_travel_through_regions_made_by_nvidias_own_utility(client: RegionClient) -> None:
    source = shm.create_shared_memory_region("source", "/tis-test-source", 2 * TENSOR_BYTES)
    target = shm.create_shared_memory_region("target", "/tis-test-target", 2 * TENSOR_BYTES)
    try:
        shm.set_shared_memory_region(source, [LEFT, RIGHT])
        client.ask("register_system_shared_memory", "source", "/tis-test-source", 2 * TENSOR_BYTES)
        client.ask("register_system_shared_memory", "target", "/tis-test-target", 2 * TENSOR_BYTES)
        outputs = [client.wanted(f"OUTPUT{index}", "target", TENSOR_BYTES, index * TENSOR_BYTES) for index in range(2)]
        for _ in range(3):
            result = client.infer("simple", client.add_sub_inputs("source"), outputs)
            assert result.get_output("OUTPUT0") is not None
            assert shm.get_contents_as_numpy(target, np.int32, [1, 16]).tolist() == (LEFT + RIGHT).tolist()
            difference = shm.get_contents_as_numpy(target, np.int32, [1, 16], TENSOR_BYTES)
            assert difference.tolist() == (LEFT - RIGHT).tolist()
    finally:
        shm.destroy_shared_memory_region(source)
        shm.destroy_shared_memory_region(target)


def test_a_region_is_read_anew_for_each_request(client: RegionClient, shared_objects: SharedObjects) -> None:
    made = shared_objects.make(LEFT.tobytes() + RIGHT.tobytes())
    client.ask("register_system_shared_memory", "r", made.key, 2 * TENSOR_BYTES)
    for value in (5, 6):
        made.write(np.full(16, value, np.int32).tobytes())
        result = client.infer("simple", client.add_sub_inputs("r"), [client.wanted("OUTPUT0")])
        assert result.as_numpy("OUTPUT0").tolist() == [[value + 1000] * 16]


def test_tensors_in_regions_and_in_the_request_may_be_mixed(
    client: RegionClient, shared_objects: SharedObjects
) -> None:
    made = shared_objects.make(bytes(256))
    made.write(LEFT.tobytes(), 100)
    client.ask("register_system_shared_memory", "r", made.key, 256)
    inputs = [client.placed("INPUT0", [1, 16], "INT32", "r", TENSOR_BYTES, 100), client.sent("INPUT1", RIGHT, "INT32")]
    outputs = [client.wanted("OUTPUT0"), client.wanted("OUTPUT1", "r", TENSOR_BYTES, 3)]
    result = client.infer("simple", inputs, outputs)
    assert result.as_numpy("OUTPUT0").tolist() == (LEFT + RIGHT).tolist()
    assert made.read(3, TENSOR_BYTES) == (LEFT - RIGHT).tobytes()
    assert made.read(0, 3) == bytes(3)


def test_a_region_may_begin_anywhere_in_its_object(client: RegionClient, shared_objects: SharedObjects) -> None:
    made = shared_objects.make(bytes(33) + LEFT.tobytes() + RIGHT.tobytes())
    client.ask("register_system_shared_memory", "r", made.name, 2 * TENSOR_BYTES, 33)
    result = client.infer("simple", client.add_sub_inputs("r"), [client.wanted("OUTPUT0")])
    assert result.as_numpy("OUTPUT0").tolist() == (LEFT + RIGHT).tolist()
    assert listed(client) == [{"name": "r", "key": made.name, "offset": 33, "byte_size": 128}]


def test_strings_travel_through_regions(client: RegionClient, shared_objects: SharedObjects) -> None:
    sent = np.array([[b"one", b"", "zwölf".encode()]], np.object_)
    data: bytes = serialize_byte_tensor(sent).item()
    made = shared_objects.make(data + bytes(100))
    client.ask("register_system_shared_memory", "r", made.key, len(data) + 100)
    inputs = [client.placed("INPUT0", [1, 3], "BYTES", "r", len(data))]
    assert client.infer("strings", inputs, [client.wanted("OUTPUT0")]).as_numpy("OUTPUT0").tolist() == sent.tolist()
    client.infer("strings", inputs, [client.wanted("OUTPUT0", "r", 100, len(data))])
    assert made.read(len(data), len(data)) == data
    cut = [client.placed("INPUT0", [1, 3], "BYTES", "r", len(data) - 1)]
    assert "incomplete string data for inference input 'INPUT0'" in client.refusal("strings", cut)
    few = [client.placed("INPUT0", [1, 4], "BYTES", "r", len(data))]
    assert "expected 4 string elements for inference input 'INPUT0'" in client.refusal("strings", few)


def test_a_large_answer_is_computed_into_the_region(client: RegionClient, shared_objects: SharedObjects) -> None:
    values = np.arange(100_000, dtype=np.float32)
    made = shared_objects.make(values.tobytes() + bytes(values.nbytes + 4))
    client.ask("register_system_shared_memory", "r", made.key, 2 * values.nbytes + 4)
    inputs = [client.placed("INPUT0", [values.size], "FP32", "r", values.nbytes)]
    # From the second request on the shapes are known. At an odd place, and over its own input, it is copied.
    for start in (values.nbytes, values.nbytes, values.nbytes, values.nbytes + 2, 4, 0):
        made.write(values.tobytes())
        client.infer("echo", inputs, [client.wanted("OUTPUT0", "r", values.nbytes, start)])
        assert made.read(start, values.nbytes) == values.tobytes()


def test_a_place_that_is_too_small_is_refused_and_nothing_is_written(
    client: RegionClient, shared_objects: SharedObjects
) -> None:
    values = np.arange(50_000, dtype=np.float32)
    made = shared_objects.make(b"\x77" * 300_000)
    client.ask("register_system_shared_memory", "r", made.key, 300_000)
    for _ in range(3):
        text = client.refusal("echo", [client.sent("INPUT0", values, "FP32")], [client.wanted("OUTPUT0", "r", 8, 16)])
        assert text.endswith(
            "shared memory size specified with the request for output 'OUTPUT0' (8 bytes) should be at least 200000 "
            "bytes to hold the results"
        )
        client.infer("echo", [client.sent("INPUT0", values, "FP32")], [client.wanted("OUTPUT0")])
    assert made.read() == b"\x77" * 300_000


def test_a_name_given_anew_is_never_mistaken_for_the_old_region(
    client: RegionClient, shared_objects: SharedObjects
) -> None:
    for value in (1, 2, 3):
        made = shared_objects.make(np.full(32, value, np.int32).tobytes())
        client.ask("register_system_shared_memory", "r", made.key, 2 * TENSOR_BYTES)
        result = client.infer("simple", client.add_sub_inputs("r"), [client.wanted("OUTPUT0")])
        assert result.as_numpy("OUTPUT0").tolist() == [[2 * value] * 16]
        client.ask("unregister_system_shared_memory", "r")
        assert client.refusal("simple", client.add_sub_inputs("r")) == "Unable to find shared memory region: 'r'"


def test_what_was_registered_is_used_though_its_name_is_gone(
    client: RegionClient, shared_objects: SharedObjects
) -> None:
    made = shared_objects.make(LEFT.tobytes() + RIGHT.tobytes())
    client.ask("register_system_shared_memory", "r", made.key, 2 * TENSOR_BYTES)
    made.unlink()
    made.path.write_bytes(b"\xff" * 128)
    result = client.infer("simple", client.add_sub_inputs("r"), [client.wanted("OUTPUT0")])
    assert result.as_numpy("OUTPUT0").tolist() == (LEFT + RIGHT).tolist()


def test_an_object_that_its_client_cut_is_an_error_of_that_request(
    plain_client: RegionClient, shared_objects: SharedObjects
) -> None:
    client = plain_client
    made = shared_objects.make(bytes(8192))
    client.ask("register_system_shared_memory", "r", made.key, 8192)
    inputs = client.add_sub_inputs("r")
    client.infer("simple", inputs)
    made.resize(TENSOR_BYTES)
    assert "made its shared-memory object smaller" in client.refusal("simple", inputs)
    made.resize(8192)
    client.infer("simple", inputs)


def test_refusals_of_registering_are_in_tritons_words(
    plain_client: RegionClient, shared_objects: SharedObjects
) -> None:
    client = plain_client
    made = shared_objects.make(bytes(100))
    client.ask("register_system_shared_memory", "r", made.key, 100)
    for name, key, size_bytes, text in (
        ("r", made.key, 100, "shared memory region 'r' already in manager"),
        ("s", "/tis-nowhere", 1, "Unable to open shared memory region: '/tis-nowhere'"),
        ("s", made.key, 101, "failed to register shared memory region 's': invalid args"),
    ):
        with pytest.raises(InferenceServerException) as refused:
            client.ask("register_system_shared_memory", name, key, size_bytes)
        assert refused.value.message() == text
    for method, name, text in (
        ("get_system_shared_memory_status", "x", "Unable to find system shared memory region: 'x'"),
        ("get_cuda_shared_memory_status", "x", "Unable to find cuda shared memory region: 'x'"),
        (
            "get_cuda_shared_memory_status",
            "r",
            "The region named 'r' is registered as system shared memory, not CUDA shared memory",
        ),
    ):
        with pytest.raises(InferenceServerException) as refused:
            client.ask(method, name)
        assert refused.value.message() == text
    client.ask("unregister_system_shared_memory", "x")
    client.ask("unregister_cuda_shared_memory", "r")
    assert [region["name"] for region in listed(client, "r")] == ["r"]


@pytest.mark.parametrize(
    ("region", "size_bytes", "start", "text"),
    [
        ("x", 64, 0, "Unable to find shared memory region: 'x'"),
        ("r", 64, 100, "Invalid offset for shared memory region: 'r'"),
        ("r", 64, 37, "Invalid offset + byte size for shared memory region: 'r'"),
        ("r", 1 << 40, 0, "Invalid offset + byte size for shared memory region: 'r'"),
        (
            "r",
            60,
            0,
            "[request id: <id_unknown>] input byte size mismatch for input 'INPUT0' for model 'simple'. "
            "Expected 64, got 60",
        ),
    ],
)
def test_places_outside_of_a_region_are_refused(
    plain_client: RegionClient, shared_objects: SharedObjects, region: str, size_bytes: int, start: int, text: str
) -> None:
    client = plain_client
    client.ask("register_system_shared_memory", "r", shared_objects.make(bytes(100)).key, 100)
    inputs = [
        client.placed("INPUT0", [1, 16], "INT32", region, size_bytes, start),
        client.sent("INPUT1", RIGHT, "INT32"),
    ]
    assert client.refusal("simple", inputs) == text
    if size_bytes != 60:
        sent = [client.sent("INPUT0", LEFT, "INT32"), client.sent("INPUT1", RIGHT, "INT32")]
        assert client.refusal("simple", sent, [client.wanted("OUTPUT0", region, size_bytes, start)]) == text


def test_cuda_memory_is_refused_where_there_is_no_gpu(server: Server) -> None:
    if server_has_gpu():
        pytest.skip("this machine has a GPU")
    for name in ("http", "grpc"):
        client = RegionClient(FACES[name](server))
        # base64 of 64 bytes over HTTP, the bytes themselves over gRPC
        handle = b"eA==" if name == "grpc" else b"eHh4" * 21 + b"eA=="
        with pytest.raises(InferenceServerException) as refused:
            client.ask("register_cuda_shared_memory", "a", handle, 0, 4)
        assert refused.value.message() == "failed to register CUDA shared memory region: 'a', GPUs not supported"
        client.close()


def server_has_gpu() -> bool:
    from tis.supervisor.machine import this_machine

    return bool(this_machine().gpus)


def test_one_request_of_a_batch_does_not_pay_for_anothers_place(
    plain_client: RegionClient, shared_objects: SharedObjects, server: Server
) -> None:
    """The model waits for a batch to fill, so that both requests run together."""
    made = shared_objects.make(bytes(64))
    plain_client.ask("register_system_shared_memory", "r", made.key, 64)
    http = tritonclient.http.InferenceServerClient(server.http_address, concurrency=2)
    index = np.array([[3]], np.int64)
    inputs = [tritonclient.http.InferInput("INDEX", [1, 1], "INT64")]
    inputs[0].set_data_from_numpy(index)
    small = tritonclient.http.InferRequestedOutput("OUTPUT0")
    small.set_shared_memory("r", 4)
    bad = http.async_infer("gather", inputs, outputs=[small])
    good = http.async_infer("gather", inputs)
    with pytest.raises(InferenceServerException, match="should be at least 8 bytes"):
        bad.get_result()
    assert good.get_result().as_numpy("OUTPUT0").tolist() == [[30]]
    http.close()


def test_the_json_of_a_placed_output_has_neither_data_nor_parameters(
    plain_client: RegionClient, shared_objects: SharedObjects, server: Server
) -> None:
    plain_client.ask("register_system_shared_memory", "r", shared_objects.make(bytes(64)).key, 64)
    import http.client

    parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 64}
    body = {
        "inputs": [
            {"name": name, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))}
            for name in ("INPUT0", "INPUT1")
        ],
        "outputs": [{"name": "OUTPUT0", "parameters": parameters}],
        "parameters": {"binary_data_output": True},
    }
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    connection.request("POST", "/v2/models/simple/infer", json.dumps(body))
    response = connection.getresponse()
    assert json.loads(response.read())["outputs"] == [{"name": "OUTPUT0", "datatype": "INT32", "shape": [1, 16]}]
    for extra, text in (
        ({"binary_data": True}, "Output can't set both 'shared_memory_region' and 'binary_data'"),
        ({"classification": 2}, "Output can't set both 'shared_memory_region' and 'classification'"),
    ):
        body["outputs"] = [{"name": "OUTPUT0", "parameters": {**parameters, **extra}}]
        connection.request("POST", "/v2/models/simple/infer", json.dumps(body))
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (400, {"error": text})
    connection.close()
