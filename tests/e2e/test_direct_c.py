"""A direct client in C, built with libzmq and msgpack-c where they are installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.direct import address_of, zmq_flag
from tests.harness.documents import ROOT
from tests.harness.models import add_sub
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving

SOURCE = ROOT / "docs" / "examples" / "direct_client.c"


def can_build() -> bool:
    compiler = shutil.which("gcc")
    if compiler is None:
        return False
    includes = "#include <zmq.h>\n#include <msgpack.h>\n"
    command = [compiler, "-x", "c", "-fsyntax-only", "-"]
    return subprocess.run(command, input=includes, text=True, capture_output=True, check=False).returncode == 0


def library() -> str:
    """msgpack's C library, which newer Debians have by another name."""
    names = subprocess.run(["gcc", "-print-file-name=libmsgpack-c.so"], capture_output=True, text=True, check=True)
    return "-lmsgpack-c" if "/" in names.stdout else "-lmsgpackc"


@pytest.fixture
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    add_sub().write(folder / "models", "simple", max_batch_size=8, extra=one_cpu())
    with serving(Server(folder / "models", "--log-verbose=1", zmq_flag(folder), log=folder / "log")) as server:
        yield server
    shutil.rmtree(folder)


@pytest.mark.skipif(not can_build(), reason="gcc, libzmq3-dev and libmsgpack-dev are not all installed")
def test_the_example_in_c_adds_through_shared_memory(direct: Server, tmp_path: Path) -> None:
    program = tmp_path / "direct_client"
    build = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-o", str(program), str(SOURCE), "-lzmq"]
    done = subprocess.run([*build, library()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    run = subprocess.run([program, address_of(direct)], capture_output=True, text=True, timeout=30, check=False)
    assert (run.stdout, run.stderr) == (" ".join(str(100 + at) for at in range(16)) + "\n", "")
    refused = subprocess.run([program, "bad address"], capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 1
