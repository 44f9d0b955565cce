"""Two repositories that have models of the same name, which add different numbers."""

from pathlib import Path
from typing import Final

from tests.harness.ensembles import Ensemble, Step
from tests.harness.models import add_constant
from tests.harness.repository import one_cpu

TENSOR: Final = ("INT32", "4")

#: Asks a model by the name that the config gives.
_ASKS: Final = """\
import json
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.name = json.loads(args["model_config"])["parameters"]["asked"]["string_value"]

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        answer = pb.InferenceRequest(
            model_name=self.name, requested_output_names=["OUTPUT0"], inputs=request.inputs()
        ).exec()
        if answer.has_error():
            return pb.InferenceResponse(error=pb.TritonError(answer.error().message()))
        return pb.InferenceResponse(answer.output_tensors())
"""


def write_adder(repository: Path, name: str, value: int) -> None:
    """A model that adds a number to four others."""
    add_constant(value, (4,)).write(repository, name, extra=one_cpu())


def write_ensemble(repository: Path, name: str, model: str) -> None:
    """An ensemble of one step."""
    steps = (Step(model, {"INPUT0": "INPUT0"}, {"OUTPUT0": "OUTPUT0"}),)
    Ensemble({"INPUT0": TENSOR}, {"OUTPUT0": TENSOR}, steps, max_batch_size=0).write(repository, name)


def write_asker(repository: Path, name: str, asked: str) -> None:
    """A model that asks another one."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_ASKS)
    (folder.parent / "config.pbtxt").write_text(
        'backend: "python"\n'
        'input { name: "INPUT0" data_type: TYPE_INT32 dims: 4 } output { name: "OUTPUT0" data_type: TYPE_INT32 dims: 4 }\n'
        f'parameters {{ key: "asked" value {{ string_value: "{asked}" }} }}\n{one_cpu()}'
    )


def write_namespaces(folder: Path) -> tuple[Path, Path]:
    """Both repositories: `both` adds 1 in the one and 2 in the other, `only_1` adds 10 and `only_2` adds 20."""
    first, second = folder / "first", folder / "second"
    for number, repository in ((1, first), (2, second)):
        write_adder(repository, "both", number)
        write_adder(repository, f"only_{number}", 10 * number)
        write_ensemble(repository, f"ensemble_{number}", "both")
    return first, second
