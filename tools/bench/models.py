"""The models that both servers serve, made at run time.

Identity leaves nothing to measure but the server. This server runs it as an ONNX file; the reference package carries
only the Python backend, so there it is a ``model.py`` that hands each request its input back. All other models are the same
on both sides, see `scripts.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .scripts import CHAIN, FILE_FLOATS, IDENTITY, READ_BYTES, STREAM, Script, ensemble

Backend = Literal["onnxruntime", "python"]

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
    """One model that is asked: FP32 in, and mostly the same out."""

    size: str
    elements: int
    #: The loads that it is put under.
    loads: tuple[str, ...] = ("http", "grpc", "perf-http", "perf-grpc")
    #: Numbers of clients where none are asked for; the load's own for none.
    clients: tuple[int, ...] = ()
    #: Whether both sides run it in Python; the model.py where it has one, and the models that it needs.
    scripted: bool = False
    model_py: str = IDENTITY
    needs: tuple[str, ...] = ()
    #: For an ensemble: its models, itself included.
    ensemble: tuple[Script, ...] = ()
    #: Responses to a request.
    responses: int = 1
    #: The answer's bytes where it is not the input.
    answer_bytes: int = 0
    #: Of which group of cases it is; those run only when they are asked for.
    group: str = ""

    @property
    def name(self) -> str:
        """The name by which clients ask for it."""
        return self.size.replace("-", "_") if self.scripted else f"identity_{self.size}"


SMALL = Model("small", 16)
LARGE = Model("large", 153_600)
LIGHT = ("http", "grpc")
PYTHON_SMALL = Model("python-small", 16, LIGHT, scripted=True)
PYTHON_LARGE = Model("python-large", 153_600, LIGHT, scripted=True)
LINKS = ("link_first", "link_second", "link_third")
BLS_CHAIN = Model("bls-chain", 16, ("http",), (1, 16), scripted=True, model_py=CHAIN, needs=LINKS)
STREAMED = Model("decoupled-1000", 16, ("stream",), (1,), scripted=True, model_py=STREAM, responses=1000)
OCR = Model("ocr", FILE_FLOATS, ("http",), (1, 16), scripted=True, ensemble=ensemble("ocr"), answer_bytes=READ_BYTES)
SIZES = "sizes"
SIZES_BYTES = (64, 4096, 65_536, 1_048_576, 6_400_000)
SIZED = tuple(Model(f"size-{size}", size // 4, LIGHT, (1, 8), scripted=True, group=SIZES) for size in SIZES_BYTES)
MODELS = (SMALL, LARGE, PYTHON_SMALL, PYTHON_LARGE, BLS_CHAIN, STREAMED, OCR, *SIZED)


@dataclass(frozen=True)
class Serving:
    """How the models are configured, on both sides alike."""

    max_batch_size: int
    instances: int

    def shape(self, model: Model) -> list[int]:
        """The shape of one request's tensor: with a batch dimension of 1 where the model batches."""
        return [1, model.elements] if self.max_batch_size or model.ensemble else [model.elements]

    def config(self, model: Model, backend: Backend, name: str = "") -> str:
        """The model's ``config.pbtxt``; batching is dynamic wherever there is batching."""
        text = CONFIG.format(
            name=name or model.name,
            backend=backend,
            max_batch_size=self.max_batch_size,
            elements=model.elements,
            instances=self.instances,
        )
        if model.responses > 1:
            text += "model_transaction_policy { decoupled: true }\n"
        return text + "dynamic_batching { }\n" if self.max_batch_size else text


def write_repository(folder: Path, backend: Backend, serving: Serving, models: Iterable[Model]) -> Path:
    """Write a model repository with these models and return its path."""
    folder.mkdir()
    for model in dict.fromkeys(models):
        if model.scripted or backend == "python":
            for script in model.ensemble or scripts_of(model, serving):
                script.write(folder)
            continue
        Script(model.name, serving.config(model, backend)).write(folder)
        write_onnx(folder / model.name / "1" / "model.onnx", model, batched=serving.max_batch_size > 0)
    return folder


def scripts_of(model: Model, serving: Serving) -> list[Script]:
    """A model in Python, and the identities that it asks."""
    needed = [Script(name, serving.config(model, "python", name), IDENTITY) for name in model.needs]
    return [*needed, Script(model.name, serving.config(model, "python"), model.model_py)]


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
