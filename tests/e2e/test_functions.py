"""Functions as models in a real server: `tis serve app.py`, asked by NVIDIA's clients."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from tests.e2e.test_operator_commands import tis
from tests.harness.faces import FACES, Call, Face, refusal
from tests.harness.fixtures import StartServer
from tests.harness.functions import APP
from tests.harness.models import add_sub
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

#: The decorator of that function.
WRONG: Final = '@tis.model(inputs={"which"'


def line_of(text: str) -> int:
    return APP[: APP.index(text)].count("\n") + 1


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves the file, and a repository beside it."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    add_sub().write(folder / "models", "simple", max_batch_size=8, extra=one_cpu())
    server = Server(folder / "app.py", f"--model-repository={folder / 'models'}", "--log-verbose=1", log=folder / "log")
    try:
        server.start().wait_ready()
        yield server
        assert server.stop() == 0
        assert not list(folder.rglob("__pycache__"))
    finally:
        server.close()


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, functions: Server) -> Iterator[Face]:
    face = FACES[request.param](functions)
    yield face
    face.close()


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def text(value: str) -> Any:
    return np.array([value.encode()], object)


# ---- answers -----------------------------------------------------------------------------------------------------------


def test_a_function_answers_and_may_be_asked_without_what_has_a_default(client: Face) -> None:
    assert client.infer(Call("scale", {"x": floats(1, 2)})).outputs["y"].tolist() == [2, 4]
    assert client.infer(Call("scale", {"x": floats(1, 2), "factor": floats(3)})).outputs["y"].tolist() == [3, 6]


def test_functions_and_models_of_a_repository_are_served_together(functions: Server, client: Face) -> None:
    zeros = np.zeros((1, 16), np.int32)
    assert client.infer(Call("simple", {"INPUT0": zeros, "INPUT1": zeros})).outputs["OUTPUT0"].shape == (1, 16)
    index = FACES["http"](functions).ask("get_model_repository_index")
    served = {each["name"]: each["state"] for each in index}
    assert served == dict.fromkeys(["Greeter", "batched", "count", "scale", "simple", "wrong"], "READY")


def test_requests_that_come_together_are_one_call_of_the_function(functions: Server) -> None:
    def ask(number: int) -> tuple[float, int]:
        face = FACES["http" if number % 2 else "grpc"](functions)
        answer = face.infer(Call("batched", {"x": floats(number)[None]}))
        face.close()
        return answer.outputs["y"].item(), answer.outputs["rows"].item()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert [y for y, _ in answers] == [number + 1 for number in range(8)]
    assert max(rows for _, rows in answers) > 1


def test_a_request_of_several_items_is_a_batch_of_its_own(client: Face) -> None:
    answer = client.infer(Call("batched", {"x": np.zeros((3, 2), np.float32)}))
    assert (answer.outputs["y"].shape, answer.outputs["rows"].tolist()) == ((3, 2), [[3]] * 3)


def test_each_instance_has_an_object_of_its_own(functions: Server, client: Face) -> None:
    seen: dict[int, int] = {}

    def both() -> bool:
        answer = client.infer(Call("Greeter", {"name": text("Ada")}))
        assert answer.outputs["text"].tolist() == [b"Hello, Ada"]
        process, calls = answer.outputs["process"].item(), answer.outputs["calls"].item()
        assert calls > seen.get(process, 0)
        seen[process] = calls
        return len(seen) == 2

    with ThreadPoolExecutor(1) as pool:
        # Another client at the same time, so that both instances have something to do.
        stop = False

        def ask() -> None:
            other = FACES["http"](functions)
            while not stop:
                other.infer(Call("Greeter", {"name": text("Bob")}))
            other.close()

        asking = pool.submit(ask)
        try:
            eventually(both, "both instances have answered")
        finally:
            stop = True
        asking.result()


def test_what_a_function_yields_are_responses_of_a_stream(functions: Server) -> None:
    status, body = post(functions, "count", b'{"n": 2}')
    assert status == 200
    assert [line for line in body.splitlines() if line] == [
        'data: {"i":0,"model_name":"count","model_version":"1"}',
        'data: {"i":1,"model_name":"count","model_version":"1"}',
    ]
    responses: list[Any] = []
    client = grpcclient.InferenceServerClient(functions.grpc_address)
    client.start_stream(
        lambda result, error: responses.append(error.message() if error else result.as_numpy("i").item())
    )
    client.async_stream_infer("count", [grpcclient.InferInput("n", [1], "INT64").set_data_from_numpy(np.array([9]))])
    eventually(lambda: len(responses) == 4, "the stream has ended")
    client.stop_stream()
    client.close()
    assert responses[:3] == [0, 1, 2]
    assert "ValueError: three is too many\n\nAt:\n" in responses[3]


def post(server: Server, model: str, body: bytes) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.http_address, timeout=30)
    connection.request("POST", f"/v2/models/{model}/generate_stream", body)
    response = connection.getresponse()
    try:
        return response.status, response.read().decode()
    finally:
        connection.close()


# ---- errors ------------------------------------------------------------------------------------------------------------


def test_an_exception_is_the_requests_error_with_its_place_in_the_file(functions: Server, client: Face) -> None:
    error = refusal(client, Call("scale", {"x": floats(13)}))
    assert error.status in ("500", "INTERNAL")
    where = f"{functions.repository}({line_of('raise ValueError(')}): scale"
    assert error.text.endswith(f"model 'scale' failed: ValueError: unlucky\n\nAt:\n  {where}\n")
    functions.wait_for_log("scale_0: model 'scale': ValueError: unlucky")
    assert client.infer(Call("scale", {"x": floats(1)})).outputs["y"].tolist() == [2], "the instance goes on"


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("dtype", "output 'y' has the numpy type float64, declared is FP32"),
        ("shape", "output 'y' has the shape [2, 2], declared is [-1]"),
        ("missing", "the function gave no output 'y'"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_the_requests_error(client: Face, which: str, words: str) -> None:
    error = refusal(client, Call("wrong", {"which": text(which)}))
    assert error.status in ("500", "INTERNAL")
    assert f"model 'wrong' failed: {words}" in error.text
    assert f"app.py({line_of(WRONG)}): wrong" in error.text


def test_requests_that_do_not_fit_the_declaration_are_refused(client: Face) -> None:
    error = refusal(client, Call("scale", {"x": np.zeros(2, np.float64)}))
    assert "inference input 'x' data-type is 'FP64', but model 'scale' expects 'FP32'" in error.text
    error = refusal(client, Call("batched", {"x": np.zeros((9, 1), np.float32)}))
    assert "inference request batch-size must be <= 8 for 'batched'" in error.text


# ---- files that are no good --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said", "last"),
    [
        ("x = 1\nimport nowhere\n", "line 2, in <module>", ":2: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = (\n", "SyntaxError", ":1: SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3", ":2: SystemExit: 3"),
        ("import tis\nT = tis.tensor('FP31', [1])\n", "", ":2: a tensor has one of the datatypes BOOL"),
        ("import os\nos._exit(7)\n", "", "exit code 7"),
        ("import os\nos.abort()\n", "", "ended with signal 6"),
        ("x = 1\n", "", "declares no model: put `@tis.model(...)` before a function"),
    ],
)
def test_a_file_that_cannot_be_served_ends_the_start_with_its_line(
    tmp_path: Path, source: str, said: str, last: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text(source)
    done = tis(
        "serve", app, "--http-port=0", "--grpc-port=0", "--allow-metrics=false", f"--runtime-directory={tmp_path}"
    )
    assert done.returncode == 1
    ending = done.stderr.splitlines()[-1]
    assert ending.startswith(f"error: creating server: Invalid argument - {app}")
    assert last in ending
    assert said in done.stderr
    assert "publish.py" not in done.stderr, "only the file's own lines are shown"
    assert list(tmp_path.iterdir()) == [app]


def test_only_tis_serve_takes_files(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    program = "import sys; from tis.cli.main import tritonserver; sys.exit(tritonserver(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path / "app.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith(f"Unexpected argument: {tmp_path / 'app.py'}\n")
    done = tis("serve", "app.txt")
    assert done.stderr.endswith("Unexpected argument: app.txt\n")


# ---- while the server runs ---------------------------------------------------------------------------------------------


def test_in_poll_mode_functions_come_change_and_go_with_the_file(new_server: StartServer, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    head, *parts = APP.split("\n\n\n")
    app.write_text("\n\n\n".join([head, parts[0], parts[2]]))
    server = new_server(app, "--model-control-mode=poll", "--repository-poll-secs=1").start()
    server.wait_ready()
    client = FACES["http"](server)

    def models() -> set[str]:
        return {each["name"] for each in client.ask("get_model_repository_index") if each.get("state") == "READY"}

    def scaled() -> float:
        found: float = client.infer(Call("scale", {"x": floats(1)})).outputs["y"].item()
        return found

    assert (models(), scaled()) == ({"scale", "count"}, 2)
    app.write_text("\n\n\n".join([head, parts[0].replace("np.float32(2)", "np.float32(5)"), parts[1]]))
    eventually(lambda: models() == {"scale", "batched"} and scaled() == 5, "the server has followed the file")
    app.write_text("import nowhere\n")
    server.wait_for_log(r"the functions of \S+app.py stay as they were: \S+app.py:1: ModuleNotFoundError")
    assert scaled() == 5
    client.close()


def test_a_function_in_a_repository_runs_as_many_instances_as_it_declares(
    new_server: StartServer, tmp_path: Path
) -> None:
    version = tmp_path / "models" / "Greeter" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(APP)
    server = new_server(tmp_path / "models").start()
    server.wait_ready()
    client = FACES["http"](server)
    config = client.ask("get_model_config", "Greeter")
    assert config["instance_group"][0] | {"count": 2, "kind": "KIND_CPU"} == config["instance_group"][0]
    eventually(lambda: len(server.workers()) == 2, "the instance that told has gone")
    assert client.infer(Call("Greeter", {"name": text("Ada")})).outputs["text"].tolist() == [b"Hello, Ada"]
    client.close()
