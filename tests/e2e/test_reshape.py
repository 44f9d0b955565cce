"""`reshape`: clients see the configured dims, the model its own, for inputs and outputs."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from tests.harness.faces import FACES, Call
from tests.harness.models import identity
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving


@pytest.fixture(scope="module")
def reshaping_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reshaping")
    repository = folder / "models"
    # Without a config, a tensor that is all batch dimension gets the dims [1] and an empty reshape.
    identity("FP32", ["b"]).write_version(repository, "completed", 1)
    folded = 'name: "%s" data_type: TYPE_FP32 dims: [2, 3, -1, 2] reshape { shape: [6, -1, 1, 2] }'
    config = f"input {{ {folded % 'INPUT0'} }} output {{ {folded % 'OUTPUT0'} }} " + one_cpu()
    identity("FP32", ["b", 6, "n", 1, 2]).write_with(repository, "folded", config, max_batch_size=4)
    server = Server(repository, log=folder / "log")
    with serving(server):
        yield server


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize(
    ("model", "shape"), [("completed", (3, 1)), ("folded", (2, 2, 3, 5, 2)), ("folded", (1, 2, 3, 5000, 2))]
)
def test_clients_see_the_configured_dims(
    reshaping_server: Server, kind: str, model: str, shape: tuple[int, ...]
) -> None:
    sent = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with contextlib.closing(FACES[kind](reshaping_server)) as face:
        # The second answer of a large shape would be computed in place.
        for _ in range(2):
            answer = face.infer(Call(model, {"INPUT0": sent})).outputs["OUTPUT0"]
            assert answer.shape == sent.shape
            assert answer.tolist() == sent.tolist()
