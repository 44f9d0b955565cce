"""Models that ask other models: from execute, from threads, with asyncio; what they hold of the pool, and give back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.bls_models import write_bls_models
from tests.harness.faces import Call, Face, GrpcFace
from tests.harness.observing import settled, wait_pool_empty
from tests.harness.python_models import CODE
from tests.harness.server import Server

_MODELS: Final = (
    *("bls_chain", "bls_gather", "bls_threads", "bls_each", "bls_async_each", "bls_kept", "bls_inside"),
    *("b_both", "b_echo", "b_show", "b_repeat", "b_batched", "b_step", "b_slow"),
)
_ECHO: Final = (
    "ask = lambda v, n='b_echo', **k: pb.InferenceRequest(model_name=n, requested_output_names=['OUT'], "
    "inputs=[pb.Tensor('IN', v)], **k)\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bls")
    repository = write_bls_models(folder / "models", *_MODELS)
    CODE.write(repository, "code")
    served = Server(
        repository, "--model-control-mode=explicit", "--load-model=*", "--log-verbose=1", log=folder / "log"
    )
    try:
        served.start().wait_ready()
        yield served
        wait_pool_empty(served)
        assert served.stop() == 0
    finally:
        served.close()


@pytest.fixture
def face(server: Server) -> Iterator[Face]:
    client = GrpcFace(server)
    yield client
    client.close()


def texts(face: Face, model: str, text: str) -> list[str]:
    """What a model of `bls_models` answers."""
    answer = face.infer(Call(model, {"TEXT": np.array([text.encode()], object)}))
    return [each.decode() for each in answer.outputs["OUT"].ravel().tolist()]


def said(face: Face, code: str) -> str:
    """What code answers."""
    answer = face.infer(Call("code", {"CODE": np.array([(_ECHO + code).encode()], object)}))
    text: bytes = answer.outputs["OUT"].ravel()[0]
    return text.decode()


def test_a_model_asks_others_one_after_another(face: Face) -> None:
    assert texts(face, "bls_chain", "1") == ["4.0"]


def test_a_model_asks_many_at_once_with_asyncio(face: Face) -> None:
    assert texts(face, "bls_gather", "20") == [f'[["OUT", [{number}.0]]]' for number in range(20)]


def test_a_model_asks_from_several_threads(face: Face) -> None:
    assert texts(face, "bls_threads", "40") == [f'[["OUT", [{number}.0]]]' for number in range(40)]


def test_a_decoupled_models_responses_end_with_an_empty_one(face: Face) -> None:
    assert texts(face, "bls_each", "2") == ['[["OUT", [0]]]', '[["OUT", [1]]]', "[]", "True"]
    assert texts(face, "bls_async_each", "2") == ['[["OUT", [0]]]', '[["OUT", [1]]]', "[]"]


def test_responses_can_be_iterated_over_with_async_for(face: Face) -> None:
    code = (
        "import asyncio\n"
        "async def each():\n"
        "    asked = ask(np.array([3], np.int32), 'b_repeat')\n"
        "    return [len(each.output_tensors()) async for each in await asked.async_exec(decoupled=True)]\n"
        "out = [R(asyncio.run(each()))]"
    )
    assert said(face, code) == "[1, 1, 1, 0]"


def test_an_iterator_that_is_dropped_leaves_nothing_behind(server: Server, face: Face) -> None:
    code = "next(ask(np.array([500], np.int32), 'b_repeat').exec(decoupled=True))\nout = [R('ok')]"
    assert said(face, code) == "ok"
    wait_pool_empty(server)


def test_an_awaited_request_may_be_given_up(server: Server, face: Face) -> None:
    code = (
        "import asyncio\n"
        "async def late():\n"
        "    asked = ask(np.array(['wait0.3'], object), 'b_show')\n"
        "    try:\n"
        "        await asyncio.wait_for(asked.async_exec(), 0.05)\n"
        "    except TimeoutError:\n"
        "        return 'late'\n"
        "out = [R(asyncio.run(late()))]"
    )
    assert said(face, code) == "late"
    wait_pool_empty(server)
    assert texts(face, "bls_chain", "1") == ["4.0"]


def test_an_array_outlives_its_tensor_and_its_response(server: Server, face: Face) -> None:
    assert texts(face, "bls_kept", "1") == ["None", "[1.]"]
    for _ in range(3):
        texts(face, "bls_chain", "9")
    assert texts(face, "bls_kept", "2") == ["[1.]", "[2.]"]
    assert texts(face, "bls_kept", "") == ["[2.]", "None"]
    wait_pool_empty(server)
    code = (
        "a = ask(np.arange(4, dtype=np.float32)).exec().output_tensors()[0].as_numpy()[1:3]\n"
        "out = [R(a.tolist())]\n"
        # The names of this code refer to themselves, so that they wait for the garbage collector.
        "del a"
    )
    assert said(face, code) == "[1.0, 2.0]"


def test_a_model_may_write_to_what_it_was_answered(face: Face) -> None:
    for _ in range(2):
        code = (
            "x = pb.InferenceRequest(model_name='b_both', requested_output_names=['F'], "
            "inputs=[pb.Tensor('E', np.array([1], np.float32))]).exec().output_tensors()[0].as_numpy()\n"
            "x += 1\nout = [R(x.tolist())]"
        )
        assert said(face, code) == "[2.0]"


def test_a_step_of_an_ensemble_asks(face: Face) -> None:
    answer = face.infer(Call("bls_inside", {"E": np.array([1, 2], np.float32)}))
    assert answer.outputs["F"].tolist() == [2, 4]


def test_a_request_counts_in_the_statistics_of_the_model_asked(server: Server, face: Face) -> None:
    code = "out = [R(ask(np.ones((3, 2), np.float32), 'b_batched').exec().has_error())]"
    assert said(face, code) == "False"
    assert settled(server, "b_batched", 1)["inference_count"] == 3


def test_two_thousand_requests_of_which_every_tenth_fails_leave_the_pool_empty(server: Server, face: Face) -> None:
    code = (
        "bad = 0\n"
        "for n in range(200):\n"
        "    r = ask(np.array(['error' if n % 10 == 0 else 'x'], object), 'b_show').exec()\n"
        "    bad += r.has_error()\n"
        "out = [R(bad)]"
    )
    for _ in range(10):
        assert said(face, code) == "20"
    wait_pool_empty(server)


def test_a_model_loads_asks_and_unloads_another(face: Face) -> None:
    code = (
        "pb.unload_model('b_slow')\n"
        "a = pb.is_model_ready('b_slow'), ask(np.array(['x'], object), 'b_slow').exec().has_error()\n"
        "pb.load_model('b_slow')\n"
        "b = pb.is_model_ready('b_slow'), ask(np.array(['x'], object), 'b_slow').exec().has_error()\n"
        "out = [R(a + b)]"
    )
    assert said(face, code) == "(False, True, True, False)"


def test_a_model_loads_one_from_files(face: Face) -> None:
    code = (
        "c = json.dumps(dict(backend='python', input=[dict(name='IN', data_type='TYPE_FP32', dims=[1])], "
        "output=[dict(name='OUT', data_type='TYPE_FP32', dims=[1])]))\n"
        "source = open(self.args['model_repository'] + '/../b_echo/1/model.py', 'rb').read()\n"
        "pb.load_model('fresh', config=c, files={'file:1/model.py': source})\n"
        "out = [R(ask(np.array([5], np.float32), 'fresh').exec().output_tensors()[0].as_numpy().tolist())]\n"
        "pb.unload_model('fresh')"
    )
    assert said(face, code) == "[5.0]"


def test_what_cannot_be_loaded_raises(face: Face) -> None:
    code = "try: pb.load_model('nope')\nexcept pb.TritonModelException as e: out = [R(e)]"
    assert said(face, code) == (
        "Failed to load model: Failed to process the request for model 'code_0_0', message: failed to load 'nope', failed "
        "to poll from model repository"
    )


_EARLY: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        pb.InferenceRequest(model_name="b_echo", requested_output_names=["OUT"], inputs=[]).exec()

    def execute(self, requests):
        return []
"""


def test_a_model_cannot_ask_before_it_serves(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    (repository / "early" / "1").mkdir(parents=True)
    (repository / "early" / "1" / "model.py").write_text(_EARLY)
    (repository / "early" / "config.pbtxt").write_text('backend: "python"\n')
    served = Server(repository, "--exit-on-error=false", log=tmp_path / "log")
    try:
        served.launch().wait_for_log("BLS is only supported during the 'execute' function.")
    finally:
        served.close()
