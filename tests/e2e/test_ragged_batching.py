"""Ragged inputs, batch inputs and batch outputs: requests of different shapes run as one, as the model expects it.

Requests meet in a batch because the batcher waits for as many items as the batch may hold.
"""

import concurrent.futures
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.harness.batch_models import FLAT_KINDS, mirror, ragged_echo, row_per_element
from tests.harness.faces import FACES, Answer, Call, Face, refusal
from tests.harness.observing import statistics
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually

ITEMS = 6
#: A batch is run once it has all of its items, or after half a minute.
PATIENT = one_cpu() + "dynamic_batching { max_queue_delay_microseconds: 30000000 }\n"
AT_ONCE = one_cpu() + "dynamic_batching { }\n"
RAGGED_FP32 = 'name: "RAGGED" data_type: TYPE_FP32 dims: -1'
#: Six items in four requests, each of another shape.
SHAPES = ((1, 2, 2), (2, 1, 3), (1, 4, 1), (2, 3, 2))

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def ragged_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ragged")
    repository = folder / "models"
    for datatype in ("FP32", "INT32"):
        model, config = mirror(datatype)
        model.write_with(repository, f"mirror_{datatype.lower()}", config + PATIENT, max_batch_size=ITEMS)
    for datatype in ("FP32", "BYTES", "BF16"):
        model, config = ragged_echo(datatype)
        model.write_with(repository, f"echo_{datatype.lower()}", config + PATIENT, max_batch_size=ITEMS)
    model, config = ragged_echo("FP32")
    model.write_with(repository, "alone", config.replace("[-1, 2]", "[-1]") + one_cpu())
    rows = (
        f'input {{ {RAGGED_FP32} allow_ragged_batch: true }}\noutput {{ name: "OUT" data_type: TYPE_FP32 dims: 1 }}\n'
    )
    row_per_element().write_with(repository, "rows", rows + AT_ONCE, max_batch_size=ITEMS)
    server = Server(repository, "--log-verbose=1", log=folder / "log")
    with serving(server):
        yield server


def answers(server: Server, kind: str, calls: Sequence[Call]) -> list[Answer]:
    """Make calls at the same time, each with a client of its own."""

    def ask(call: Call) -> Answer:
        face: Face = FACES[kind](server)
        with contextlib.closing(face):
            return face.infer(call)

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(ask, calls))


def sent(shape: tuple[int, ...], tag: int) -> Array:
    """Numbers that tell the request that they come from."""
    return (np.arange(np.prod(shape)) + 1000 * tag).astype(np.float32).reshape(shape)


def executions(server: Server, model: str) -> int:
    count: int = statistics(server, model)["execution_count"]
    return count


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("datatype", ["FP32", "INT32"])
def test_a_model_gets_all_elements_in_a_row_and_every_kind_of_batch_input(
    ragged_server: Server, kind: str, datatype: str
) -> None:
    model = f"mirror_{datatype.lower()}"
    before = statistics(ragged_server, model)["execution_count"]
    tensors = [sent(shape, tag) for tag, shape in enumerate(SHAPES)]
    seen = answers(ragged_server, kind, [Call(model, {"RAGGED": tensor}) for tensor in tensors])
    assert eventually(lambda: executions(ragged_server, model) == before + 1, "one execution is counted")
    # The order in which the requests came shows in the elements.
    whole = seen[0].outputs["OUT_RAGGED"][0]
    order = sorted(range(len(SHAPES)), key=lambda tag: whole.tolist().index(1000 * tag))
    assert whole.tolist() == [value for tag in order for value in tensors[tag].ravel().tolist()]
    counts = [tensors[tag].size for tag in order]
    expected = {
        "RAGGED": whole.tolist(),
        "COUNT": counts,
        "ENDS": np.cumsum(counts).tolist(),
        "STARTS": [0, *np.cumsum(counts).tolist()],
        "LONGEST": [0] * max(counts),
        "SHAPES": [size for tag in order for _ in range(SHAPES[tag][0]) for size in SHAPES[tag][1:]],
    }
    assert set(expected) == {"RAGGED", *FLAT_KINDS}
    for answer, shape in zip(seen, SHAPES, strict=True):
        for name, row in expected.items():
            assert answer.outputs[f"OUT_{name}"].tolist() == [row] * shape[0], name
        assert answer.outputs["OUT_ITEMS"].tolist() == [list(shape[1:])] * shape[0]
        assert answer.outputs["OUT_ITEMS"].dtype == {"FP32": np.float32, "INT32": np.int32}[datatype]


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "BF16"])
def test_an_output_is_scattered_by_the_shape_of_each_ones_input(
    ragged_server: Server, kind: str, datatype: str
) -> None:
    model = f"echo_{datatype.lower()}"
    before = statistics(ragged_server, model)["execution_count"]
    tensors = [sent(shape, tag) for tag, shape in enumerate(((1, 4, 2), (3, 1, 2), (1, 0, 2), (1, 2, 2)))]
    if datatype == "BYTES":
        tensors = [
            np.array([b"%d" % value for value in each.ravel()], np.object_).reshape(each.shape) for each in tensors
        ]
    if datatype == "BF16":
        tensors = [each.astype(ml_dtypes.bfloat16) for each in tensors]
    calls = [Call(model, {"RAGGED": tensor}, datatypes={"RAGGED": datatype}) for tensor in tensors]
    seen = answers(ragged_server, kind, calls)
    assert eventually(lambda: executions(ragged_server, model) == before + 1, "one execution is counted")
    for answer, tensor in zip(seen, tensors, strict=True):
        if tensor.size:
            assert answer.outputs["OUT"].shape == tensor.shape
            assert answer.outputs["OUT"].tolist() == tensor.tolist()


def test_a_ragged_input_is_flat_without_batching_too(ragged_server: Server) -> None:
    with contextlib.closing(FACES["http"](ragged_server)) as face:
        answer = face.infer(Call("alone", {"RAGGED": sent((5,), 0)}))
    assert answer.outputs["OUT"].tolist() == [0, 1, 2, 3, 4]


def test_rows_that_a_model_gives_too_few_are_told_in_tritons_words_and_extra_ones_dropped(
    ragged_server: Server,
) -> None:
    with contextlib.closing(FACES["http"](ragged_server)) as face:
        told = refusal(face, Call("rows", {"RAGGED": np.zeros((2, 0), np.float32)}, request_id="a"))
        assert told.text == (
            "[request id: a] failed to split the output tensor 'OUT' in responses: expected batch size of at least 2 in "
            "model output, got 0"
        )
        assert face.infer(Call("rows", {"RAGGED": sent((2, 3), 0)})).outputs["OUT"].tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f'input {{ {RAGGED_FP32} }} output {{ name: "OUT" data_type: TYPE_FP32 dims: -1 }}',
            "the model expects 1 dimensions (shape [-1]) but the model configuration specifies 2 dimensions",
        ),
        (
            f"input {{ {RAGGED_FP32} allow_ragged_batch: true }} "
            'output { name: "OUT" data_type: TYPE_FP32 dims: -1 } '
            'batch_input { target_name: "ENDS" data_type: TYPE_INT32 source_input: "RAGGED" }',
            "configuration expects 2 inputs, model provides 1",
        ),
        (
            f"input {{ {RAGGED_FP32} allow_ragged_batch: true }} "
            'output { name: "OUT" data_type: TYPE_FP32 dims: -1 } '
            'batch_output { target_name: "OUT" source_input: "MOON" }',
            "unknown source input name 'MOON' for wrong",
        ),
    ],
)
def test_a_config_that_does_not_fit_the_model_fails_the_load(
    new_server: Any, tmp_path: Path, text: str, words: str
) -> None:
    model, _ = ragged_echo("FP32")
    model.write_with(tmp_path / "models", "wrong", text, max_batch_size=ITEMS)
    server: Server = new_server(tmp_path / "models", "--exit-on-error=false").start()
    eventually(lambda: words in server.log(), "the reason is in the log")
