"""System shared memory of clients, over HTTP and gRPC; what a server without a GPU says of CUDA's."""

import struct
from collections.abc import Sequence
from typing import Any, Final

from tests.conformance.case import SHM_PREFIX, Case, Grpc, Http, ShmRead, case, get, grpc_infer, infer, post, tensor

_STATUS: Final = get("/v2/systemsharedmemory/status")
_CUDA_STATUS: Final = get("/v2/cudasharedmemory/status")
_KEY: Final = f"/{SHM_PREFIX}-a"
_FOUR: Final = struct.pack("<4f", 1, 2, 3, 4)
_GONE: Final = post("/v2/systemsharedmemory/unregister")


def _register(name: str = "r", **fields: Any) -> Http:
    body = {"key": _KEY, "offset": 0, "byte_size": 4096} | fields
    return post(f"/v2/systemsharedmemory/region/{name}/register", {k: v for k, v in body.items() if v is not ...})


def _in(**parameters: Any) -> dict[str, Any]:
    return tensor("INPUT0", "FP32", [4], shared_memory_region="r", **parameters)


def _out(**parameters: Any) -> dict[str, Any]:
    return {"name": "OUTPUT0", "parameters": {"shared_memory_region": "r", **parameters}}


def _infer(shm_input: dict[str, Any] | None, output: dict[str, Any] | None = None) -> Http:
    given = shm_input or tensor("INPUT0", "FP32", [4], [1, 2, 3, 4])
    return infer("id_fp32", {"inputs": [given], **({"outputs": [output]} if output else {})})


def _case(name: str, *steps: Any) -> Case:
    """A case with a region of its own; nothing stays registered."""
    return case(name, *steps, _GONE, regions={"a": _FOUR, "b": _FOUR})


def _params(**values: Any) -> dict[str, Any]:
    kinds = {str: "string_param", int: "int64_param", bool: "bool_param"}
    return {name: {kinds[type(value)]: value} for name, value in values.items()}


def _grpc(parameters: dict[str, Any], outputs: list[dict[str, Any]] | None = None, **more: Any) -> Grpc:
    given = {"name": "INPUT0", "datatype": "FP32", "shape": [4], "parameters": parameters, **more.pop("given", {})}
    raw: Sequence[bytes] = more.pop("raw", ())
    wanted: dict[str, Any] = {"outputs": outputs} if outputs else {}
    return grpc_infer("id_fp32", [given], raw, **wanted)


_R: Final = {"shared_memory_region": "r", "shared_memory_byte_size": 16}

CASES: Final[tuple[Case, ...]] = (
    _case("nothing registered", _STATUS, get("/v2/systemsharedmemory/region/r/status")),
    _case("register", _register(), _STATUS, get("/v2/systemsharedmemory/region/r/status")),
    _case("register a part", _register(byte_size=16), _STATUS),
    _case("register twice", _register(), _register()),
    _case("register two", _register(), _register("s", key=f"/{SHM_PREFIX}-b"), _STATUS),
    _case("register a key twice", _register(), _register("s")),
    _case("register a key without its slash", _register(key=f"{SHM_PREFIX}-a")),
    _case("register a missing key", _register(key="/nope-at-all")),
    _case("register with an empty key", _register(key="")),
    _case("register more than there is", _register(byte_size=8192)),
    _case("register with an offset beyond", _register(offset=4096)),
    _case("register with a negative offset", _register(offset=-1)),
    _case("register nothing", _register(byte_size=0)),
    _case("register without a key", _register(key=...)),
    _case("register without an offset", _register(offset=...), _STATUS),
    _case("register without a size", _register(byte_size=...)),
    _case("register a key that is a number", _register(key=3)),
    _case("register a size that is a string", _register(byte_size="4096")),
    _case("register an offset that is a string", _register(offset="0")),
    _case("register a size that is negative", _register(byte_size=-1)),
    _case("register with no JSON", post("/v2/systemsharedmemory/region/r/register", b"x")),
    _case("register with no body", post("/v2/systemsharedmemory/region/r/register")),
    _case("register without a name", post("/v2/systemsharedmemory/register", {"key": _KEY, "byte_size": 4096})),
    _case("register with GET", get("/v2/systemsharedmemory/region/r/register")),
    _case("unregister", _register(), post("/v2/systemsharedmemory/region/r/unregister"), _STATUS),
    _case("unregister an unknown one", post("/v2/systemsharedmemory/region/nope/unregister")),
    _case("unregister with GET", get("/v2/systemsharedmemory/unregister")),
    _case("status of an unknown one", get("/v2/systemsharedmemory/region/nope/status")),
    _case("status with POST", post("/v2/systemsharedmemory/status")),
    _case("input", _register(), _infer(_in(shared_memory_byte_size=16))),
    _case("input with an offset", _register(), _infer(_in(shared_memory_byte_size=16, shared_memory_offset=0))),
    _case("input beyond the region", _register(byte_size=16), _infer(_in(shared_memory_byte_size=16, shared_memory_offset=4))),
    _case("input with an offset beyond", _register(byte_size=16), _infer(_in(shared_memory_byte_size=16, shared_memory_offset=16))),
    _case("input of another size", _register(), _infer(_in(shared_memory_byte_size=12))),
    _case("input of a larger size", _register(), _infer(_in(shared_memory_byte_size=20))),
    _case("input of no size", _register(), _infer(_in())),
    _case("input of size 0", _register(), _infer(_in(shared_memory_byte_size=0))),
    _case("input with a size that is a string", _register(), _infer(_in(shared_memory_byte_size="16"))),
    _case("input with a negative offset", _register(), _infer(_in(shared_memory_byte_size=16, shared_memory_offset=-4))),
    _case("input of an unknown region", _infer(_in(shared_memory_byte_size=16))),
    _case("input with a huge offset", _register(), _infer(_in(shared_memory_byte_size=16, shared_memory_offset=2**64 - 8))),
    _case("output", _register(), _infer(None, _out(shared_memory_byte_size=16, shared_memory_offset=32)), ShmRead("a", 0, 64)),
    _case("output larger than needed", _register(), _infer(None, _out(shared_memory_byte_size=64)), ShmRead("a", 0, 64)),
    _case("output too small", _register(), _infer(None, _out(shared_memory_byte_size=8)), ShmRead("a", 0, 64)),
    _case("output of no size", _register(), _infer(None, _out())),
    _case("output beyond the region", _register(byte_size=16), _infer(None, _out(shared_memory_byte_size=17))),
    _case("output of an unknown region", _infer(None, _out(shared_memory_byte_size=16))),
    _case("output with binary_data", _register(), _infer(None, _out(shared_memory_byte_size=16, binary_data=True))),
    _case("output with classes", _register(), _infer(None, _out(shared_memory_byte_size=16, classification=2))),
    _case("both", _register(), _infer(_in(shared_memory_byte_size=16), _out(shared_memory_byte_size=16, shared_memory_offset=16)),
          ShmRead("a", 0, 64)),
    _case("CUDA: status", _CUDA_STATUS),
    _case("CUDA: status of an unknown one", get("/v2/cudasharedmemory/region/nope/status")),
    _case("CUDA: status of a system region", _register(), get("/v2/cudasharedmemory/region/r/status")),
    _case("CUDA: register", post("/v2/cudasharedmemory/region/c/register",
                                 {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 16})),
    _case("CUDA: register without a handle", post("/v2/cudasharedmemory/region/c/register", {"device_id": 0, "byte_size": 16})),
    _case("CUDA: register without a device", post("/v2/cudasharedmemory/region/c/register",
                                                  {"raw_handle": {"b64": "AAAA"}, "byte_size": 16})),
    _case("CUDA: unregister all", post("/v2/cudasharedmemory/unregister")),
    _case("CUDA: unregister an unknown one", post("/v2/cudasharedmemory/region/nope/unregister")),
    _case("gRPC: nothing registered", Grpc("SystemSharedMemoryStatus")),
    _case("gRPC: register", Grpc("SystemSharedMemoryRegister", {"name": "r", "key": _KEY, "byte_size": 4096}), _STATUS,
          Grpc("SystemSharedMemoryStatus"), Grpc("SystemSharedMemoryStatus", {"name": "r"})),
    _case("gRPC: register twice", _register(), Grpc("SystemSharedMemoryRegister", {"name": "r", "key": _KEY, "byte_size": 4096})),
    _case("gRPC: register a missing key", Grpc("SystemSharedMemoryRegister", {"name": "r", "key": "/nope", "byte_size": 4})),
    _case("gRPC: register more than there is", Grpc("SystemSharedMemoryRegister", {"name": "r", "key": _KEY, "byte_size": 9999})),
    _case("gRPC: status of an unknown one", Grpc("SystemSharedMemoryStatus", {"name": "nope"})),
    _case("gRPC: unregister", _register(), Grpc("SystemSharedMemoryUnregister", {"name": "r"}), _STATUS),
    _case("gRPC: unregister all", _register(), Grpc("SystemSharedMemoryUnregister"), _STATUS),
    _case("gRPC: CUDA status", Grpc("CudaSharedMemoryStatus")),
    _case("gRPC: CUDA status of an unknown one", Grpc("CudaSharedMemoryStatus", {"name": "nope"})),
    _case("gRPC: CUDA register", Grpc("CudaSharedMemoryRegister", {"name": "c", "raw_handle": bytes(64), "byte_size": 16})),
    _case("gRPC: CUDA unregister", Grpc("CudaSharedMemoryUnregister", {"name": "c"})),
    _case("gRPC: input", _register(), _grpc(_params(**_R))),
    _case("gRPC: input with an offset beyond", _register(), _grpc(_params(**_R, shared_memory_offset=5000))),
    _case("gRPC: input of an unknown region", _grpc(_params(**_R))),
    _case("gRPC: input of another size", _register(), _grpc(_params(shared_memory_region="r", shared_memory_byte_size=12))),
    _case("gRPC: input of no size", _register(), _grpc(_params(shared_memory_region="r"))),
    _case("gRPC: input of the wrong kind", _register(), _grpc(_params(shared_memory_region=3, shared_memory_byte_size=16))),
    _case("gRPC: input size of the wrong kind", _register(), _grpc(_params(shared_memory_region="r", shared_memory_byte_size="x"))),
    _case("gRPC: input and contents", _register(), _grpc(_params(**_R), given={"contents": {"fp32_contents": [1, 2, 3, 4]}})),
    _case("gRPC: input and raw contents", _register(), _grpc(_params(**_R), raw=[_FOUR])),
    _case("gRPC: output", _register(), _grpc(_params(**_R), [{"name": "OUTPUT0", "parameters": _params(**_R, shared_memory_offset=64)}]),
          ShmRead("a", 0, 96)),
    _case("gRPC: output too small", _register(), _grpc(_params(**_R), [
        {"name": "OUTPUT0", "parameters": _params(shared_memory_region="r", shared_memory_byte_size=8)}])),
    _case("gRPC: output of an unknown region", _register(), _grpc(_params(**_R), [
        {"name": "OUTPUT0", "parameters": _params(shared_memory_region="nope", shared_memory_byte_size=16)}])),
    _case("gRPC: output with classes", _register(), _grpc(_params(**_R), [
        {"name": "OUTPUT0", "parameters": _params(**_R, classification=1)}])),
)  # fmt: skip
