"""A server with one subject's models, started once for all tests of the contract."""

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from tritonclient.utils import InferenceServerException

from tests.frameworks.prepare import Prepared
from tests.frameworks.subject import ROWS, Arrays
from tests.harness.faces import FACES, Call, Face
from tests.harness.observing import statistics
from tests.harness.repository import BATCHING, DELAYED_BATCHING, one_cpu
from tests.harness.server import Server

#: Two instances, whose batches wait for each other's requests.
PAIR: Final = "pair"
#: One instance, of which the config says as little as the format allows.
ALONE: Final = "alone"


class Served:
    """A subject behind a server."""

    def __init__(self, prepared: Prepared, server: Server) -> None:
        self.prepared = prepared
        self.subject = prepared.subject
        self.server = server

    @property
    def repository(self) -> Path:
        """The server's repository."""
        return self.server.repository

    def put_model(self, name: str, seed: int = 0) -> Path:
        """Copy a model into version 1 of a directory of the repository, over what is there."""
        return put_model(self.prepared, self.repository, name, seed)

    @contextlib.contextmanager
    def face(self, protocol: str) -> Iterator[Face]:
        """One of NVIDIA's clients."""
        face = FACES[protocol](self.server)
        try:
            yield face
        finally:
            face.close()

    def control(self, method: str, name: str) -> str:
        """Load or unload; gives the error, empty where there is none."""
        with self.face("grpc") as face:
            try:
                face.ask(method, name)
            except InferenceServerException as error:
                return str(error.message())
        return ""

    def load(self, name: str) -> str:
        """Load a model; gives the error, empty where there is none."""
        return self.control("load_model", name)

    def config(self, name: str) -> dict[str, Any]:
        """A model's config as clients see it."""
        with self.face("http") as face:
            found: dict[str, Any] = face.ask("get_model_config", name)
            return found

    def ask(self, name: str, rows: slice = slice(ROWS), protocol: str = "http") -> Arrays:
        """The answer to some of the subject's rows."""
        with self.face(protocol) as face:
            return face.infer(Call(name, {key: array[rows] for key, array in self.prepared.inputs.items()})).outputs

    def ask_at_once(self, name: str, count: int) -> list[Arrays]:
        """The answers to so many clients that ask for a row each, all at once."""
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(lambda row: self.ask(name, slice(row % ROWS, row % ROWS + 1)), range(count)))

    def together(self) -> bool:
        """Whether some execution answered several requests."""
        stats = statistics(self.server, PAIR)
        return int(stats["execution_count"]) < int(stats["inference_stats"]["success"]["count"])

    def check(self, answer: Arrays, rows: slice = slice(ROWS), seed: int = 0) -> None:
        """Assert that an answer is the framework's own, within its tolerance."""
        expected = self.prepared.answers[seed]
        for tensor in self.subject.outputs:
            right = expected[tensor.name][rows]
            if tensor.datatype == "BYTES":
                assert answer[tensor.name].tolist() == right.tolist(), tensor.name
            else:
                assert answer[tensor.name].dtype == right.dtype, tensor.name
                np.testing.assert_allclose(
                    answer[tensor.name], right, self.subject.rtol, self.subject.atol, err_msg=tensor.name
                )


def put_model(prepared: Prepared, repository: Path, name: str, seed: int = 0) -> Path:
    """Copy a model into version 1 of a directory of a repository, over what is there."""
    source = prepared.models[seed]
    target = repository / name / "1" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    # Whatever the model wrote beside its file belongs to it, too.
    shutil.copytree(source.parent, target.parent, dirs_exist_ok=True, copy_function=shutil.copy)
    return target


def write_models(prepared: Prepared, repository: Path) -> None:
    """What the server has from its start."""
    subject = prepared.subject
    put_model(prepared, repository, PAIR)
    subject.write_config(repository, PAIR, max_batch_size=ROWS, extra=one_cpu(2) + DELAYED_BATCHING)
    put_model(prepared, repository, ALONE)
    if subject.completes:
        subject.write_config(repository, ALONE, extra=one_cpu(), tensors=False)
    else:
        subject.write_config(repository, ALONE, max_batch_size=4, extra=one_cpu() + BATCHING)
