"""The pool is for everybody: what one model needed for a moment, another may have later."""

from pathlib import Path

import numpy as np
import pytest

from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

_POOL_BYTES = 32 << 20
#: Of an answer that takes all that the pool has for answers.
_ELEMENTS = 3 << 20


@pytest.fixture
def server(new_server: StartServer, tmp_path: Path) -> Server:
    for name in ("one", "other"):
        identity("FP32", [-1]).write(tmp_path / "models", name, extra=one_cpu())
    return new_server(tmp_path / "models", f"--pool-byte-size={_POOL_BYTES}").start()


def ask(server: Server, model: str, elements: int) -> Response:
    with Connection(server) as connection:
        return connection.call(infer_post(model, binary_body({"INPUT0": np.full(elements, 3, np.float32)})))


def has_room(server: Server, model: str, elements: int) -> None:
    eventually(lambda: ask(server, model, elements).status == 200, f"{elements} elements of '{model}' have room")


def test_what_a_model_has_needed_of_the_pool_is_there_for_others_later(server: Server) -> None:
    for model in ("one", "other", "one"):
        has_room(server, model, _ELEMENTS)
    refused = ask(server, "other", _ELEMENTS)
    assert refused.status == 503
    assert "the shared-memory pool has no room for" in refused.error
    has_room(server, "other", 1)
