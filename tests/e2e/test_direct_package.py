"""`tis.client` as a package of its own: it works where nothing of the server is."""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.direct import address_of, zmq_flag
from tests.harness.documents import ROOT
from tests.harness.native_models import write_identity
from tests.harness.server import Server, serving

PACKAGE = ROOT / "tools" / "client_package" / "pyproject.toml"
PROGRAM = """
import os, sys
# The server is installed where the tests run; this program is to have nothing of it.
sys.path = [each for each in sys.path if not os.path.exists(os.path.join(each, "tis", "__init__.py"))]
import numpy as np
from tis.client import Client

with Client(sys.argv[1]) as client:
    for size in (4, 40_000):
        array = np.arange(size, dtype=np.float32)
        with client.infer("echo", {"INPUT0": array}) as result:
            assert (result["OUTPUT0"] == array).all()
# What is of no use to the client is not loaded either.
known = set(sys.stdlib_module_names) | {"__main__", "tis", "numpy", "zmq", "msgpack", "cython_runtime"}
installed = {name for name in (name.partition(".")[0] for name in sys.modules) if not name.startswith("_")} - known
print(sorted(installed), sys.modules["tis"].__file__)
"""


@pytest.fixture
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    write_identity(folder / "models", "echo", dims="-1")
    with serving(Server(folder / "models", "--log-verbose=1", zmq_flag(folder), log=folder / "log")) as server:
        yield server
    shutil.rmtree(folder)


def test_the_client_alone_asks_a_server(direct: Server, tmp_path: Path) -> None:
    described = tomllib.loads(PACKAGE.read_text())
    needed = {each.partition(">")[0] for each in described["project"]["dependencies"]}
    assert needed == {"numpy", "pyzmq", "msgpack"}
    ((source, target),) = described["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].items()
    shutil.copytree(PACKAGE.parent / source, tmp_path / target)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", address_of(direct)]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[] None\n", "", 0)
