"""The identity models that both servers serve: made at run time, the same but for their backend.

Identity leaves nothing to measure but the server. This server runs it as an ONNX file; the reference package carries
only the Python backend, so there it is a ``model.py`` that hands each request its input back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Backend = Literal["onnxruntime", "python"]

MODEL_PY = '''\
"""Identity: every request gets its input back."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer one batch of requests."""
        responses = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "INPUT0")
            output = pb_utils.Tensor("OUTPUT0", tensor.as_numpy())
            responses.append(pb_utils.InferenceResponse([output]))
        return responses
'''

CONFIG = """\
name: "{name}"
backend: "{backend}"
max_batch_size: {max_batch_size}
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ {elements} ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {elements} ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
"""


@dataclass(frozen=True)
class Model:
    """One identity model, FP32 in and out."""

    size: str
    elements: int

    @property
    def name(self) -> str:
        """The name by which clients ask for it."""
        return f"identity_{self.size}"


SMALL = Model("small", 16)
LARGE = Model("large", 153_600)
MODELS = (SMALL, LARGE)


@dataclass(frozen=True)
class Serving:
    """How the models are configured, on both sides alike."""

    max_batch_size: int
    instances: int

    def shape(self, model: Model) -> list[int]:
        """The shape of one request's tensor: with a batch dimension of 1 where the model batches."""
        return [1, model.elements] if self.max_batch_size else [model.elements]

    def config(self, model: Model, backend: Backend) -> str:
        """The model's ``config.pbtxt``; batching is dynamic wherever there is batching."""
        text = CONFIG.format(
            name=model.name,
            backend=backend,
            max_batch_size=self.max_batch_size,
            elements=model.elements,
            instances=self.instances,
        )
        return text + "dynamic_batching { }\n" if self.max_batch_size else text


def write_repository(folder: Path, backend: Backend, serving: Serving) -> Path:
    """Write a model repository with all the models and return its path."""
    for model in MODELS:
        version = folder / model.name / "1"
        version.mkdir(parents=True)
        (folder / model.name / "config.pbtxt").write_text(serving.config(model, backend))
        if backend == "python":
            (version / "model.py").write_text(MODEL_PY)
        else:
            write_onnx(version / "model.onnx", model, batched=serving.max_batch_size > 0)
    return folder


def write_onnx(path: Path, model: Model, *, batched: bool) -> None:
    """Write an ONNX file of one Identity operator."""
    import onnx  # here, because the command line's --help works without it
    from onnx import TensorProto, helper

    shape: list[int | str] = ["batch", model.elements] if batched else [model.elements]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        model.name,
        [helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
