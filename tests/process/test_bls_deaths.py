"""Processes die while one model asks another: the asker hears of it, goes on, and nothing is left in the pool."""

import concurrent.futures
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc

from tests.harness.bls_models import write_bls_models
from tests.harness.fixtures import StartServer
from tests.harness.observing import wait_pool_empty
from tests.harness.server import Server
from tests.harness.waiting import eventually

_MODELS: Final = ("bls_errors", "bls_chain", "bls_itself", "b_show", "b_echo")


@pytest.fixture
def server(new_server: StartServer, tmp_path: Path) -> Server:
    return new_server(write_bls_models(tmp_path / "models", *_MODELS)).start()


def ask(server: Server, model: str, text: str) -> str:
    """What a model answers, or the error."""
    with contextlib.closing(tritonclient.grpc.InferenceServerClient(server.grpc_address)) as client:
        given = tritonclient.grpc.InferInput("TEXT", [1], "BYTES")
        given.set_data_from_numpy(np.array([text.encode()], object))
        try:
            answer: Any = client.infer(model, [given], client_timeout=60)
        except tritonclient.grpc.InferenceServerException as error:
            return f"{error.status()} {error.message()}"
        return " ".join(each.decode() for each in answer.as_numpy("OUT").ravel().tolist())


@contextlib.contextmanager
def asking(server: Server) -> "Iterator[concurrent.futures.Future[str]]":
    """A request whose model asks another one, which takes its time and has begun."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, "bls_errors", "wait3")
        server.wait_for_log("b_show waits")
        yield asked


def works_again(server: Server) -> None:
    """The models answer as if nothing had happened, and the pool is empty in the end."""
    eventually(lambda: "error" not in (text := ask(server, "bls_errors", "")) and "mine" in text, "it works again")
    wait_pool_empty(server)


def test_the_asker_hears_of_the_death_of_the_model_that_it_asks(server: Server) -> None:
    with asking(server) as asked:
        server.kill(server.worker_of("b_show"))
        text = asked.result(20)
    assert text.startswith("True error False:")
    assert "the instance of model 'b_show' that ran this request has died" in text
    works_again(server)


def test_what_a_dead_asker_had_asked_for_is_forgotten(server: Server) -> None:
    with asking(server) as asked:
        server.kill(server.worker_of("bls_errors"))
        assert "StatusCode.UNAVAILABLE" in asked.result(20)
    works_again(server)


def test_the_asker_hears_of_the_death_of_the_scheduler_and_asks_the_next_one(server: Server) -> None:
    with asking(server) as asked:
        server.kill(server.scheduler())
        # Of its own request the frontend says so, unless the model is quicker.
        assert "the scheduler has died and has lost this request; try again" in asked.result(20)
    works_again(server)


def test_a_stop_lets_a_model_end_that_asks_others(server: Server) -> None:
    with asking(server) as asked:
        assert server.stop() == 0
        assert '"mine"' in asked.result(20).replace("\\", "")


def test_a_model_that_asks_itself_waits_alone(server: Server) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, "bls_itself", "")
        server.wait_for_log("bls_itself asks")
        assert ask(server, "bls_chain", "1") == "4.0"
        assert not asked.done()
        server.kill(server.worker_of("bls_itself"))
        assert "StatusCode.UNAVAILABLE" in asked.result(20)
