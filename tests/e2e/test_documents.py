"""The examples of README.md, docs/functions.md and docs/testing.md do what the pages say."""

import http.client
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.documents import ROOT, blocks
from tests.harness.fixtures import StartServer
from tests.harness.server import HOST, Server

FUNCTIONS: Final = "docs/functions.md"
_BLOCKS: Final = blocks(FUNCTIONS)
#: The client of each example, and what it prints.
CLIENTS: Final = [
    pytest.param(block.text, _BLOCKS[number + 1].text, id=_BLOCKS[number - 1].name)
    for number, block in enumerate(_BLOCKS)
    if block.name == "client.py"
]


@pytest.fixture(scope="module")
def functions_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All files of the page about functions, in one server."""
    folder = tmp_path_factory.mktemp("functions")
    files = [block for block in _BLOCKS if block.name and block.name != "client.py"]
    for block in files:
        (folder / block.name).write_text(block.text)
    first, *others = (folder / block.name for block in files)
    server = Server(first, *(str(each) for each in others), log=folder / "log")
    try:
        server.start().wait_ready()
        yield server
    finally:
        server.close()


def test_every_example_of_functions_has_a_client() -> None:
    assert len(CLIENTS) == len([block for block in _BLOCKS if block.name and block.name != "client.py"]) > 4


@pytest.mark.parametrize(("client", "printed"), CLIENTS)
def test_an_example_of_functions_prints_what_the_page_says(functions_server: Server, client: str, printed: str) -> None:
    program = client.replace("localhost:8000", functions_server.http_address)
    program = program.replace("localhost:8001", functions_server.grpc_address)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (printed, "")


def test_the_newcomers_example_in_the_readme_answers_what_it_says(new_server: StartServer, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (example,) = [block for block in blocks("README.md") if block.name == "app.py"]
    asked = re.search(r"^    \$ (curl .*)\n    (\{.*\})$", readme, re.MULTILINE)
    assert asked
    (tmp_path / "app.py").write_text(example.text)
    server = new_server(tmp_path / "app.py").start()
    server.wait_ready()
    _curl, url, _d, body = shlex.split(asked[1])
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=30)
    connection.request("POST", url.removeprefix("localhost:8000"), body, {"Connection": "close"})
    assert json.loads(connection.getresponse().read()) == json.loads(asked[2])
    connection.close()


def test_the_example_of_a_models_tests_passes(tmp_path: Path) -> None:
    files = {block.name: block.text for block in blocks("docs/testing.md")}
    version = tmp_path / "models" / "upper" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(files["model.py"])
    (tmp_path / "test_model.py").write_text(files["test_model.py"])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_model.py"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
