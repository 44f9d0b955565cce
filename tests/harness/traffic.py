"""Requests in the background: the slow model kept busy, the fast one asked all the time, every answer noted."""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

import grpc
import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tests.harness.pace import rounds
from tests.harness.raw_http import Connection, Response, binary_body, infer_post
from tests.harness.server import Server
from tests.harness.waiting import eventually


def slow_call(milliseconds: float) -> bytes:
    """The bytes of a call that keeps an instance of `slow` busy for at least this long."""
    return infer_post("slow", binary_body({"ROUNDS": np.array([[rounds(milliseconds)]], np.int64)}))


def echo_call(value: float, model: str = "echo") -> bytes:
    """The bytes of a call that is answered at once."""
    return infer_post(model, binary_body({"INPUT0": np.array([value], np.float32)}))


def is_echo(answer: Response, value: float) -> bool:
    """True for the right answer to `echo_call`."""
    return answer.status == 200 and answer.body.endswith(np.float32(value).tobytes())


class Chatter:
    """Asks `echo` again and again on one connection until it is left; a lost connection is made anew."""

    def __init__(self, server: Server, model: str = "echo") -> None:
        self._server = server
        self._model = model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: How often which outcome came: a status, `wrong` for a wrong answer, `lost` for a lost connection.
        self.outcomes: Counter[int | str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a request was never answered"

    def wait_right(self, count: int) -> None:
        """Wait for so many more right answers."""
        enough = self.outcomes[200] + count
        eventually(lambda: self.outcomes[200] >= enough, f"{count} more right answers, not {self.outcomes}")

    def _run(self) -> None:
        value = 0
        while not self._stop.is_set():
            try:
                with Connection(self._server) as connection:
                    while not self._stop.is_set():
                        value += 1
                        self._note(connection.call(echo_call(value, self._model)), value)
            except OSError:
                self.outcomes["lost"] += 1

    def _note(self, answer: Response, value: int) -> None:
        """Count an answer."""
        wrong = answer.status == 200 and not is_echo(answer, value)
        self.outcomes["wrong" if wrong else answer.status] += 1


class GrpcChatter(Chatter):
    """The same over gRPC, where outcomes other than 200 are names of status codes."""

    def _run(self) -> None:
        value = 0
        with grpcclient.InferenceServerClient(self._server.grpc_address) as client:
            while not self._stop.is_set():
                value += 1
                sent = np.array([value], np.float32)
                tensor = grpcclient.InferInput("INPUT0", [1], "FP32")
                tensor.set_data_from_numpy(sent)
                try:
                    answer = client.infer(self._model, [tensor]).as_numpy("OUTPUT0")
                except (InferenceServerException, grpc.RpcError) as error:
                    self.outcomes[str(error)] += 1
                else:
                    self.outcomes[200 if np.array_equal(answer, sent) else "wrong"] += 1
