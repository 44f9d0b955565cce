"""Python models that do the worst: each ends in the right error for exactly its own request, and everybody else is served."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from tests.e2e.python_server import call, refused, said
from tests.harness.faces import Call, Face, HttpFace
from tests.harness.models import identity
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import successor
from tests.harness.python_models import CODE, CODE_BATCHED, CODE_DECOUPLED
from tests.harness.repository import one_cpu
from tests.harness.server import Server

_POOL_BYTES = 256 << 20
HEAD = "Failed to process the request(s) for model 'code_0_0', message: "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("troubles")
    CODE.write(folder / "models", "code")
    CODE_BATCHED.write(folder / "models", "code_batched")
    CODE_DECOUPLED.write(folder / "models", "code_decoupled")
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
    flags = ("--log-verbose=1", f"--pool-byte-size={_POOL_BYTES}", "--model-control-mode=explicit", "--load-model=*")
    served = Server(folder / "models", *flags, log=folder / "log")
    try:
        served.start().wait_ready()
        yield served
        wait_pool_empty(served)
        assert served.stop() == 0
    finally:
        served.close()


@pytest.fixture
def face(server: Server) -> Iterator[Face]:
    client = HttpFace(server)
    yield client
    client.close()


def others_are_served(server: Server) -> None:
    given = np.arange(8, dtype=np.float32)
    with contextlib.closing(HttpFace(server)) as client:
        assert client.infer(Call("echo", {"INPUT0": given})).outputs["OUTPUT0"].tolist() == given.tolist()


# ---- what ends a request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def f(): return f()\nf()", f"{HEAD}RecursionError: maximum recursion depth exceeded"),
        ("raise MemoryError()", f"{HEAD}MemoryError: <EMPTY MESSAGE>"),
        ("bytearray(1 << 60)", f"{HEAD}MemoryError: <EMPTY MESSAGE>"),
        ("class E(Exception):\n  def __str__(self): raise E()\nraise E()", f"{HEAD}E: <MESSAGE UNAVAILABLE>"),
        ("class E(Exception):\n  def __str__(self): return 7\nraise E()", f"{HEAD}E: <MESSAGE UNAVAILABLE>"),
        ("class E(Exception):\n  def __str__(self): sys.exit(4)\nraise E()", f"{HEAD}E: <MESSAGE UNAVAILABLE>"),
        ("class E(BaseException): pass\nraise E('x')", f"{HEAD}E: x"),
        ("raise ValueError('\\ud800')", f"{HEAD}ValueError: ?"),
        ("raise ValueError('x' * 5_000_000)", f"{HEAD}ValueError: xxxxxxxx"),
        ("out = [pb.InferenceResponse(error=pb.TritonError('\\ud800'))]", "?"),
        (
            "pb.InferenceResponse([], parameters={'a': '\\ud800'})",
            f"{HEAD}TritonModelException: the parameter 'a' holds",
        ),
        ("class L(list):\n  def __len__(self): raise ValueError('len')\nout = L()", f"{HEAD}ValueError: len"),
        ("class L(list):\n  def __iter__(self): sys.exit(2)\nout = L([1])", f"{HEAD}SystemExit: 2"),
        (
            "class A(pb.InferenceResponse):\n  def output_tensors(self): raise ValueError('no')\nout = [A()]",
            f"{HEAD}ValueError: no",
        ),
        (
            "class A(pb.InferenceResponse):\n  def __init__(self): pass\nout = [A()]",
            f"{HEAD}AttributeError: 'A' object has no attribute",
        ),
        (
            "class S:\n  def __str__(self): sys.exit(4)\n"
            "out = [pb.InferenceResponse([pb.Tensor('OUT', np.array([S()], object))])]",
            "[request id: <id_unknown>] unable to write the response: SystemExit: 4",
        ),
        ("requests.clear(); out = [R(1)]", f"{HEAD}Number of InferenceResponse objects do not match"),
        (
            "s = request.get_response_sender(); del s; out = [None]",
            "[request id: <id_unknown>] model 'code' dropped the response sender of the request without a response",
        ),
        (
            "request.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE); out = [None]",
            "[request id: <id_unknown>] Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is "
            "not configured to handle such a flag.",
        ),
        (
            "request.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE); out = [R(1)]",
            f"{HEAD}Expected a None object in the execute function return list for reschduled request, found type ",
        ),
        (
            "out = [pb.InferenceResponse([pb.Tensor('X', np.zeros(1 << 28, np.float32))])]",
            "[request id: <id_unknown>] the shared-memory pool has no room for 1073741824 bytes of a model's tensors",
        ),
    ],
)
def test_a_request_ends_in_its_error_and_the_worker_goes_on(server: Server, face: Face, code: str, text: str) -> None:
    worker = said(face, "out = [R(os.getpid())]")
    assert refused(face, code).text.startswith(text)
    assert said(face, "out = [R(os.getpid())]") == worker
    others_are_served(server)


def test_only_the_culprit_of_a_batch_fails(face: Face) -> None:
    """The second of two responses cannot be written; the first one arrives."""
    code = (
        "out = [R(len(requests)).output_tensors() and pb.InferenceResponse([pb.Tensor('OUT', np.array([['ok']], object))]) "
        "for _ in requests]\n"
        "out[-1] = pb.InferenceResponse([pb.Tensor('OUT', np.array([['\\ud800']], object))])"
    )
    assert "unable to write the response: UnicodeEncodeError" in refused(face, code, "code_batched").text
    assert said(face, "out = [R('alive') for _ in requests]", "code_batched") == "alive"


# ---- what the worker survives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "os.chdir('/')",
        "[print('y' * 1000) for _ in range(100_000)]",
        "pb.Logger.log_info('\\ud800')",
        "sys.setrecursionlimit(100)",
        "import gc; gc.disable()",
        "import logging; logging.disable(50)",
        "os.environ.clear()",
        "pid = os.fork()\nif pid == 0: sys.exit(3)\nos.waitpid(pid, 0)",
        "pid = os.fork()\nif pid: os.waitpid(pid, 0)",
        "pid = os.fork()\nif pid == 0: time.sleep(60); os._exit(0)\nos.kill(pid, 15)\nassert os.waitpid(pid, 0)[1] == 15",
        "import subprocess\nwith subprocess.Popen(['sleep', '60']) as p: p.terminate()\nassert p.returncode == -15",
        "import multiprocessing as mp\nwith mp.get_context('fork').Pool(2) as pool: assert pool.map(abs, [-1]) == [1]",
        "import subprocess; subprocess.run(['true'], check=True)",
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        # The last one: processes that are forked off behind this have the handler, too.
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None); signal.signal(signal.SIGINT, signal.SIG_DFL)",
    ],
)
def test_a_worker_survives_what_a_model_does_to_its_process(server: Server, face: Face, code: str) -> None:
    worker = said(face, "out = [R(os.getpid())]")
    assert said(face, f"{code}\nout = [R('done')]") == "done"
    assert said(face, "out = [R(os.getpid())]") == worker
    others_are_served(server)


@pytest.mark.parametrize(
    "code",
    [
        "request.get_response_sender().send(R('from the child'), 1)",
        "request.is_cancelled()",
        "pb.MetricFamily('of_a_child', '', pb.MetricFamily.COUNTER)",
        "pb.tis.empty_output(request, 'X', [1], np.float32)",
    ],
)
def test_a_forked_process_cannot_use_the_servers_interface(face: Face, code: str) -> None:
    child = f"try:\n   {code}\n  except pb.TritonModelException: os._exit(7)"
    forks = f"pid = os.fork()\nif pid == 0:\n  {child}\n  os._exit(0)\n"
    waits = "out = [R(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))]"
    assert said(face, forks + waits) == "7"


def test_a_thread_that_answers_after_its_request_failed_is_told_so(face: Face) -> None:
    code = "s = self.kept['s'] = request.get_response_sender()\nraise ValueError('first')"
    assert "ValueError: first" in refused(face, code).text
    assert "Unable to send response" in refused(face, "self.kept['s'].send(R('late'), 1)").text


def test_a_thread_that_answers_during_an_unload_is_heard(server: Server, face: Face) -> None:
    """The model is unloaded only when its last request has been answered."""
    code = (
        "s = request.get_response_sender()\n"
        "threading.Timer(0.3, lambda: s.send(R('late'), 1)).start()\nthreading.Timer(0.6, lambda: s).start()\nout = [None]"
    )
    with contextlib.closing(HttpFace(server)) as beside:
        waiting = beside.infer(call(code))
        beside.ask("unload_model", "code")
        beside.ask("load_model", "code")
    assert waiting.outputs["OUT"].tolist() == [b"late"]
    others_are_served(server)


# ---- what ends the worker --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("os.abort()", "was killed by SIGABRT"),
        ("os.closerange(0, 4096); out = [R(1)]", ""),
    ],
)
def test_a_worker_that_dies_fails_its_request_and_is_back(server: Server, face: Face, code: str, reason: str) -> None:
    worker = server.worker_of("code")
    error = refused(face, code)
    assert error.status == "503"
    assert f"the instance of model 'code' that ran this request has died ({reason}" in error.text
    others_are_served(server)
    successor(lambda: [each for each in server.workers() if each.pid != 0], worker)
    assert said(face, "out = [R('back')]") == "back"
