"""Python models as steps: one that writes into its inputs spoils nothing that another step reads."""

from pathlib import Path

import numpy as np

from tests.harness.ensembles import Ensemble, Step
from tests.harness.faces import Call, HttpFace
from tests.harness.fixtures import StartServer
from tests.harness.observing import wait_pool_empty
from tests.harness.repository import one_cpu

_SPOILS = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            values *= -1
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", values)]))
        return responses
"""
_CONFIG = """\
name: "%s"
backend: "python"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] } ]
"""


def test_a_step_that_writes_into_its_inputs_spoils_nothing_that_others_read(
    new_server: StartServer, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for name in ("left", "right", "after"):
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / "model.py").write_text(_SPOILS)
        (models / name / "config.pbtxt").write_text(_CONFIG % name + one_cpu())
    tensor = ("FP32", "16")
    steps = (
        Step("left", {"INPUT0": "IN"}, {"OUTPUT0": "LEFT"}),
        Step("right", {"INPUT0": "IN"}, {"OUTPUT0": "RIGHT"}),
        Step("after", {"INPUT0": "LEFT"}, {"OUTPUT0": "AFTER"}),
    )
    Ensemble({"IN": tensor}, {"LEFT": tensor, "RIGHT": tensor, "AFTER": tensor}, steps).write(models, "both")
    server = new_server(models).start()
    face = HttpFace(server)
    try:
        for number in range(30):
            given = np.full((1, 16), number + 1, np.float32)
            outputs = face.infer(Call("both", {"IN": given})).outputs
            assert {name: float(values[0, 0]) for name, values in outputs.items()} == {
                "LEFT": -(number + 1.0),
                "RIGHT": -(number + 1.0),
                "AFTER": number + 1.0,
            }
    finally:
        face.close()
    wait_pool_empty(server)
