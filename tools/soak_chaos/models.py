"""The models of the chaos run: ONNX small and large, Python, an ensemble of both, sequences, and one that changes."""

import os
from pathlib import Path
from typing import Final

import numpy as np
from onnx import helper, numpy_helper

from tests.harness.ensembles import Ensemble, Step
from tests.harness.models import Model, Tensor, identity
from tests.harness.python_models import PythonModel
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.sequence_models import START, SUM_STATE, accumulator
from tests.harness.sequence_models import write as write_sequence

ECHO: Final = "echo"
LARGE: Final = "large"
PYTHON: Final = "scripted"
ENSEMBLE: Final = "chained"
SEQUENCES: Final = "summing"
CHANGING: Final = "changing"
NEWCOMER: Final = "newcomer"
MODELS: Final = (ECHO, LARGE, PYTHON, ENSEMBLE, SEQUENCES, CHANGING)
#: Instances of each model that has workers of its own.
INSTANCES: Final = {ECHO: 2, LARGE: 1, PYTHON: 1, SEQUENCES: 1, CHANGING: 1}
#: What takes part in the answers of the ensemble.
PARTS: Final = {ENSEMBLE: (ENSEMBLE, ECHO, PYTHON)}

#: The Python model falls over at this as the second number of a pair.
FATAL: Final = -11
_PAIR_IO: Final = (
    'input [ { name: "INPUT0" data_type: TYPE_INT64 dims: [ 2 ] } ]\n'
    'output [ { name: "OUTPUT0" data_type: TYPE_INT64 dims: [ 2 ] } ]\n'
)
_SCRIPTED: Final = f"""\
import ctypes

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(pb.get_input_tensor_by_name(each, "INPUT0").as_numpy()) for each in requests]

    def one(self, array):
        if (array[:, 1] == {FATAL}).any():
            ctypes.string_at(0)
        return pb.InferenceResponse([pb.Tensor("OUTPUT0", -array)])
"""
_BROKEN: Final = "\nno_such_field {\n"


def write_models(folder: Path) -> Path:
    """All of them in a repository."""
    identity("INT64", ("b", 2)).write(folder, ECHO, max_batch_size=8, extra=one_cpu(INSTANCES[ECHO]) + BATCHING)
    identity("INT64", (-1,)).write(folder, LARGE, extra=one_cpu())
    PythonModel(_SCRIPTED, f"{_PAIR_IO}max_batch_size: 8\n{BATCHING}").write(folder, PYTHON)
    chain = (
        Step(ECHO, {"INPUT0": "INPUT0"}, {"OUTPUT0": "between"}),
        Step(PYTHON, {"INPUT0": "between"}, {"OUTPUT0": "OUTPUT0"}),
    )
    Ensemble({"INPUT0": ("INT64", "2")}, {"OUTPUT0": ("INT64", "2")}, chain).write(folder, ENSEMBLE)
    # Longer than anybody is stopped: a client that was held up by that goes on with its sequence.
    idle = "max_sequence_idle_microseconds: 40000000 "
    write_sequence(accumulator(), folder, SEQUENCES, idle + START + SUM_STATE % "", max_batch_size=16)
    _adding(0).write(folder, CHANGING, max_batch_size=8, extra=one_cpu() + BATCHING)
    return folder


def _adding(generation: int) -> Model:
    """INPUT0 plus a number, which tells by whom an answer was given."""
    return Model(
        (Tensor("INPUT0", "INT64", ("b", 2)),),
        (Tensor("OUTPUT0", "INT64", ("b", 2)),),
        (helper.make_node("Add", ["INPUT0", "generation"], ["OUTPUT0"]),),
        (numpy_helper.from_array(np.array(generation, np.int64), "generation"),),
    )


class ChangingFiles:
    """The files of the model that changes, which are replaced, cut short and spoilt."""

    def __init__(self, repository: Path) -> None:
        self._repository: Final = repository
        self._model: Final = repository / CHANGING / "1" / "model.onnx"
        self._config: Final = repository / CHANGING / "config.pbtxt"
        self._config_text: Final = self._config.read_text()

    def replace(self, generation: int, *, share: float = 1.0) -> None:
        """Put a generation in the place of the one before in one step; of its bytes only a share."""
        content = _content(generation)
        # A name with a dot before it is nobody's model file.
        beside = self._model.with_name(".model.onnx.new")
        beside.write_bytes(content[: int(len(content) * share)])
        beside.replace(self._model)

    def begin(self, generation: int, share: float) -> None:
        """Begin to copy a generation over the one before, as `cp` does it."""
        content = _content(generation)
        self._model.write_bytes(content[: int(len(content) * share)])

    def finish(self, generation: int, share: float) -> None:
        """Copy the rest of it."""
        content = _content(generation)
        with self._model.open("ab") as file:
            file.write(content[int(len(content) * share) :])

    def break_config(self) -> None:
        """Make the config one that nobody can read."""
        self._config.write_text(self._config_text + _BROKEN)

    def mend_config(self) -> None:
        """As it was."""
        self._config.write_text(self._config_text)

    def touch(self) -> None:
        """Another date."""
        os.utime(self._model)

    def begin_newcomer(self) -> None:
        """A model of which the config has been copied and half of the file."""
        identity("INT64", ("b", 2)).write(self._repository, NEWCOMER, max_batch_size=8, extra=one_cpu())
        file = self._repository / NEWCOMER / "1" / "model.onnx"
        file.write_bytes(file.read_bytes()[:50])

    def finish_newcomer(self) -> None:
        """The whole of it."""
        identity("INT64", ("b", 2)).write_version(self._repository, NEWCOMER, 1)


def _content(generation: int) -> bytes:
    content: bytes = _adding(generation).proto().SerializeToString()
    return content
