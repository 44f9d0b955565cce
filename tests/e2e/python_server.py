"""A server of Python models, and clients that send it code to run."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pytest

from tests.harness.faces import FACES, Answer, Call, Face, Refusal, refusal
from tests.harness.observing import wait_pool_empty
from tests.harness.python_models import write_python_models
from tests.harness.server import Server, serving

_WITHOUT_ASYNCIO: Final = ("http", "grpc")


@pytest.fixture(scope="module")
def python_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves `PYTHON_MODELS`."""
    folder = tmp_path_factory.mktemp("python")
    served = Server(write_python_models(folder / "models"), "--log-verbose=1", log=folder / "log")
    with serving(served):
        yield served
        wait_pool_empty(served)
    assert not list(served.repository.rglob("__pycache__"))


@pytest.fixture(params=_WITHOUT_ASYNCIO)
def python_face(request: pytest.FixtureRequest, python_server: Server) -> Iterator[Face]:
    """NVIDIA's clients without asyncio, connected to it."""
    client = FACES[request.param](python_server)
    yield client
    client.close()


def call(code: str, model: str = "code", *, outputs: Sequence[str] | None = None, **inputs: Any) -> Call:
    """A request to run code."""
    shape = (1, 1) if model == "code_batched" else (1,)
    return Call(model, {"CODE": np.array([code.encode()], object).reshape(shape), **inputs}, outputs=outputs)


def run(face: Face, code: str, model: str = "code", **inputs: Any) -> Answer:
    """Run code in a model."""
    return face.infer(call(code, model, **inputs))


def said(face: Face, code: str, model: str = "code", **inputs: Any) -> str:
    """What code answers in OUT."""
    texts: list[bytes] = run(face, code, model, **inputs).outputs["OUT"].ravel().tolist()
    return texts[0].decode()


def refused(face: Face, code: str, model: str = "code") -> Refusal:
    """The error that code ends in."""
    return refusal(face, call(code, model))
