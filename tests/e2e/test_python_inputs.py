"""Inputs are a Python model's own: what it writes to them nobody else sees, and what it keeps stays as it was."""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc

from tests.e2e.python_server import run, said
from tests.harness.faces import Array, Face, GrpcFace, HttpFace
from tests.harness.observing import wait_pool_empty
from tests.harness.python_models import CODE, CODE_BATCHED, CODE_DECOUPLED
from tests.harness.region_client import RegionClient
from tests.harness.server import Server, serving
from tests.harness.shared_memory import SharedObject, SharedObjects, shared_objects
from tests.harness.waiting import eventually
from tis_shm.private import PrivateMap
from tis_shm.region import RegionError

__all__ = ["shared_objects"]

#: Inline in messages, copied, and lent.
_SIZES: Final = (16, 2000, 200_000)
_LARGE: Final = _SIZES[-1]
_LARGE_BYTES: Final = 4 * _LARGE
#: More than a model may keep before it is given copies.
_REQUESTS: Final = 12
_KEEP: Final = "self.kept.setdefault('a', []).append(request.inputs()[1].as_numpy())\n"
_TELL: Final = "out = [R(';'.join(f'{a[0]:g} {a[-1]:g}' for a in self.kept['a']))]"
_ANSWER: Final = "request.get_response_sender().send(R(len(self.kept.get('a', []))), 1)\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each test has a model of its own, since models are learnt about."""
    folder = tmp_path_factory.mktemp("inputs")
    for size in _SIZES:
        for name in ("kept", "requests", "sender"):
            CODE.write(folder / "models", f"{name}_{size}")
        CODE_DECOUPLED.write(folder / "models", f"decoupled_{size}")
    for name in ("kept_region", "writes", "writes_region", "moves", "lent", "lent_region"):
        CODE.write(folder / "models", name)
    CODE_BATCHED.write(folder / "models", "batched")
    made = Server(folder / "models", "--log-verbose=1", log=folder / "log")
    with serving(made):
        yield made
        wait_pool_empty(made)


@pytest.fixture
def face(server: Server) -> Iterator[HttpFace]:
    made = HttpFace(server)
    yield made
    made.close()


@pytest.fixture
def regions(server: Server) -> Iterator[RegionClient]:
    face = GrpcFace(server)
    made = RegionClient(face)
    yield made
    made.ask("unregister_system_shared_memory")
    face.close()


@pytest.fixture
def lends() -> None:
    """Only where the kernel can."""
    fd = os.memfd_create("probe")
    os.ftruncate(fd, 4096)
    try:
        assert PrivateMap(fd, 4096).close()
    except RegionError as error:
        pytest.skip(f"inputs are copied on this machine: it {error}")
    finally:
        os.close(fd)


def values(number: int, size: int = _LARGE) -> Array:
    array = np.full(size, number, np.float32)
    array[-1] = -number
    return array


def ends(count: int) -> list[str]:
    return [f"{number} {-number}" for number in range(1, count + 1)]


def aligned(code: str) -> str:
    """Tensors of a request lie one behind the other, and one that begins at an odd place is copied anyway."""
    return code.ljust(-(-len(code) // 64) * 64)


def told(face: Face, code: str, model: str, array: Array) -> list[str]:
    return said(face, aligned(code), model, F=array).split(";")


@pytest.mark.parametrize("size", _SIZES)
def test_arrays_that_a_model_keeps_stay_as_they_were(face: HttpFace, size: int) -> None:
    for number in range(1, _REQUESTS + 1):
        assert told(face, _KEEP + _TELL, f"kept_{size}", values(number, size)) == ends(number)


@pytest.mark.parametrize("size", _SIZES)
def test_requests_that_a_model_keeps_have_the_inputs_that_they_came_with(face: HttpFace, size: int) -> None:
    code = "self.kept.setdefault('r', []).append(request)\n"
    for number in range(1, _REQUESTS):
        run(face, aligned(f"{code}out = [R(1)]"), f"requests_{size}", F=values(number, size))
    code += "self.kept['a'] = [each.inputs()[1].as_numpy() for each in self.kept['r']]\n"
    assert told(face, code + _TELL, f"requests_{size}", values(_REQUESTS, size)) == ends(_REQUESTS)


@pytest.mark.parametrize("size", _SIZES)
def test_arrays_stay_as_they_were_though_the_answer_was_sent_before_they_were_kept(face: HttpFace, size: int) -> None:
    for number in range(1, _REQUESTS + 1):
        assert said(face, aligned(f"{_ANSWER}{_KEEP}out = None"), f"sender_{size}", F=values(number, size)) == str(
            number - 1
        )
    assert told(face, _TELL, f"sender_{size}", values(0, size)) == ends(_REQUESTS)


@pytest.mark.parametrize("size", _SIZES)
def test_a_decoupled_model_may_keep_arrays_beyond_its_last_response(server: Server, size: int) -> None:
    model = f"decoupled_{size}"

    def ask(code: str, array: Array) -> list[str]:
        answers: list[Any] = []
        with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
            client.start_stream(lambda result, error: answers.append((result, error)))
            inputs = [
                tritonclient.grpc.InferInput("CODE", [1], "BYTES"),
                tritonclient.grpc.InferInput("F", [size], "FP32"),
            ]
            inputs[0].set_data_from_numpy(np.array([aligned(code).encode()], object))
            inputs[1].set_data_from_numpy(array)
            client.async_stream_infer(model, inputs)
            client.stop_stream()
        ((result, error),) = answers
        assert error is None
        text: str = result.as_numpy("OUT")[0].decode()
        return text.split(";")

    for number in range(1, _REQUESTS + 1):
        ask(_ANSWER + _KEEP, values(number, size))
    assert ask(
        _TELL.replace("out = [R", "request.get_response_sender().send(R").removesuffix("]") + ", 1)", values(0, size)
    ) == (ends(_REQUESTS))


@pytest.fixture
def ask_region(regions: RegionClient, shared_objects: SharedObjects) -> tuple[SharedObject, Callable[..., list[Any]]]:
    """A client's region with room for two tensors, and a request that brings the first of them."""
    made = shared_objects.make(bytes(2 * _LARGE_BYTES))
    regions.ask("register_system_shared_memory", "r", made.key, 2 * _LARGE_BYTES)

    def ask(model: str, code: str, output: str = "OUT", start: int = 0) -> list[Any]:
        inputs = [
            regions.sent("CODE", np.array([code.encode()], object), "BYTES"),
            regions.placed("F", [_LARGE], "FP32", "r", _LARGE_BYTES),
        ]
        wanted = regions.wanted("X", "r", _LARGE_BYTES, start) if start else regions.wanted(output)
        result = regions.infer(model, inputs, [wanted])
        return [] if start else result.as_numpy(output).tolist()

    return made, ask


def test_arrays_of_a_clients_region_stay_as_they_were_for_the_model_that_keeps_them(
    ask_region: tuple[SharedObject, Callable[..., list[Any]]],
) -> None:
    made, ask = ask_region
    for number in range(1, _REQUESTS + 1):
        made.write(values(number).tobytes())
        assert ask("kept_region", _KEEP + _TELL)[0].decode().split(";") == ends(number)


def test_what_a_model_writes_to_its_input_is_in_its_own_answer_only(face: HttpFace) -> None:
    code = "a = request.inputs()[1].as_numpy(); a *= 2; out = [pb.InferenceResponse([pb.Tensor('X', a[::-1])])]"
    for number in range(1, _REQUESTS + 1):
        answer = run(face, aligned(code), "writes", F=values(number)).outputs["X"]
        assert answer.tolist() == (2 * values(number)[::-1]).tolist()


def test_what_a_model_writes_to_its_input_is_not_in_the_clients_region(
    ask_region: tuple[SharedObject, Callable[..., list[Any]]],
) -> None:
    made, ask = ask_region
    code = "a = request.inputs()[1].as_numpy(); a += 1; out = [pb.InferenceResponse([pb.Tensor('X', a)])]"
    for number in range(1, _REQUESTS + 1):
        made.write(values(number).tobytes())
        for _ in range(2):
            assert ask("writes_region", code, "X") == (values(number) + 1).tolist()
        assert made.read(0, _LARGE_BYTES) == values(number).tobytes()


def test_an_answer_may_be_written_over_a_part_of_its_own_input(
    ask_region: tuple[SharedObject, Callable[..., list[Any]]],
) -> None:
    made, ask = ask_region
    sent = np.arange(_LARGE, dtype=np.float32)
    code = "out = [pb.InferenceResponse([pb.Tensor('X', request.inputs()[1].as_numpy())])]"
    for start in (4, 4096, _LARGE_BYTES // 2, _LARGE_BYTES):
        made.write(sent.tobytes())
        ask("moves", code, start=start)
        assert made.read(start, _LARGE_BYTES) == sent.tobytes()


def test_requests_of_a_batch_may_have_the_same_input_and_a_model_write_to_each(
    server: Server, shared_objects: SharedObjects
) -> None:
    made = shared_objects.make(values(7).tobytes())
    code = "for each in requests:\n a = each.inputs()[1].as_numpy(); a += 1\n"
    code += (
        "out = [pb.InferenceResponse([*R(len(requests)).output_tensors(), pb.Tensor('X', r.inputs()[1].as_numpy())]) "
    )
    code += "for r in requests]"
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        client.register_system_shared_memory("same", made.key, _LARGE_BYTES)
        inputs = [
            tritonclient.grpc.InferInput("CODE", [1, 1], "BYTES"),
            tritonclient.grpc.InferInput("F", [1, _LARGE], "FP32"),
        ]
        inputs[0].set_data_from_numpy(np.array([[code.encode()]], object))
        inputs[1].set_shared_memory("same", _LARGE_BYTES)

        def batch() -> bool:
            answers: list[Any] = []
            for _ in range(3):
                client.async_infer("batched", inputs, lambda result, error: answers.append((result, error)))
            eventually(lambda: len(answers) == 3, "all are answered")
            for result, error in answers:
                assert error is None
                assert result.as_numpy("X").tolist() == [(values(7) + 1).tolist()]
            return any(int(result.as_numpy("OUT").ravel()[0]) > 1 for result, _ in answers)

        try:
            eventually(batch, "some of them share a batch")
            assert made.read() == values(7).tobytes()
        finally:
            client.unregister_system_shared_memory("same")


@pytest.mark.usefixtures("lends")
def test_large_inputs_are_not_copied(face: HttpFace, ask_region: tuple[SharedObject, Callable[..., list[Any]]]) -> None:
    code = "base = request.inputs()[1].as_numpy(); base = base if base.base is None else base.base\n"
    code += "out = [R(isinstance(base, np.ndarray) and base.flags.owndata)]"
    _, ask = ask_region
    for _ in range(_REQUESTS):
        assert said(face, aligned(code), "lent", F=values(1)) == "False"
        assert ask("lent_region", code) == [b"False"]
    assert said(face, aligned(code), "lent", F=values(1, _SIZES[1])) == "True"


@pytest.mark.usefixtures("lends")
def test_a_model_that_keeps_its_inputs_is_given_copies(server: Server, face: HttpFace) -> None:
    for number in range(_REQUESTS):
        told(face, _KEEP + _TELL, f"kept_{_LARGE}", values(number))
    server.wait_for_log(rf"kept_{_LARGE}_0_0: inputs are copied from now on")
