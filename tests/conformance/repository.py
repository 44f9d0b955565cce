"""The models of the cases, for both servers: ONNX for this one, Python models that do the same for the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.ensembles import ENSEMBLES
from tests.harness.models import (
    ELEMENT_TYPES,
    Model,
    add_constant,
    add_sub,
    doubled,
    gather,
    identities,
    identity,
)
from tests.harness.repository import BATCHING, one_cpu

_LABELS: Final = "cat\ndog\n\nfox with tail\n"
_HEAD: Final = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.version = int(args["model_version"])

    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.answer(request)) for request in requests]

    def answer(self, request):
        at = lambda name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        put = lambda name, value: pb_utils.Tensor(name, value)
"""
_IDENTITY: Final = """\
        return [put(each.name().replace("IN", "OUT"), each.as_numpy()) for each in request.inputs()]
"""
_OPAQUE: Final = """\
        return [pb_utils.Tensor.from_dlpack("OUTPUT0", request.inputs()[0].to_dlpack())]
"""
_ADD_SUB: Final = """\
        one, two = at("INPUT0"), at("INPUT1")
        return [put("OUTPUT0", one + two), put("OUTPUT1", one - two)]
"""
_ADD_VERSION: Final = """\
        return [put("OUTPUT0", at("INPUT0") + np.int32(self.version))]
"""
_GATHER: Final = """\
        return [put("OUTPUT0", np.arange(0, 100, 10, dtype=np.int64)[at("INDEX")])]
"""
_WIDE: Final = """\
        return [put("OUTPUT0", np.concatenate([at("INPUT0")] * 2, -1))]
"""
_DEFAULTED: Final = """\
        given = pb_utils.get_input_tensor_by_name(request, "INPUT1")
        total = at("INPUT0") + (np.float32(100) if given is None else given.as_numpy())
        return [put("OUTPUT0", total), put("OUTPUT1", total)]
"""


@dataclass(frozen=True)
class Served:
    """A model as both servers serve it."""

    graph: Callable[[int], Model]
    answer: str = _IDENTITY
    max_batch_size: int = 0
    extra: str = ""
    versions: tuple[int, ...] = (1,)
    files: Mapping[str, str] | None = None
    #: The Python model runs on both servers: ONNX models have no optional inputs here.
    is_python: bool = False


def _same(model: Model) -> Callable[[int], Model]:
    return lambda _version: model


#: Every model by name. The configs are the same on both servers, apart from the backend.
MODELS: Final[dict[str, Served]] = {
    **{
        f"id_{name.lower()}": Served(_same(identity(name, [-1])), _OPAQUE if name == "BF16" else _IDENTITY)
        for name in ELEMENT_TYPES
    },
    "simple": Served(_same(add_sub()), _ADD_SUB, 8, BATCHING),
    "plain": Served(_same(add_sub((2, 2), "FP32")), _ADD_SUB),
    "batched": Served(_same(identity("FP32", ["b", 4])), max_batch_size=8),
    "strings": Served(_same(identity("BYTES", ["b", -1])), max_batch_size=4, extra=BATCHING),
    "variable": Served(_same(identity("FP32", [2, "n"]))),
    "variables": Served(_same(identity("FP32", ["m", "n"]))),
    "one_string": Served(_same(identity("BYTES", [1]))),
    "mixed": Served(_same(identities({"0": "FP32", "1": "BYTES", "2": "INT64", "3": "BOOL"}, [-1]))),
    "versioned": Served(
        add_constant,
        _ADD_VERSION,
        max_batch_size=4,
        versions=(1, 2, 3),
        extra="version_policy { specific { versions: [1, 3] } }\n",
    ),
    "counted": Served(_same(add_sub()), _ADD_SUB, 8),
    "gather": Served(_same(gather()), _GATHER, 8),
    "labelled": Served(
        _same(identities({"0": "FP32", "1": "INT32", "2": "BYTES"}, ["b", 4])),
        max_batch_size=8,
        files={"labels.txt": _LABELS},
    ),
    "labelled_flat": Served(_same(identity("FP32", [-1])), files={"labels.txt": _LABELS}),
    "parameterised": Served(
        _same(identity("INT8", [3])),
        extra='parameters { key: "k" value: { string_value: "v" } }\nversion_policy { all { } }\n',
    ),
}

#: Models that only ensembles use.
STEPS: Final[dict[str, Served]] = {
    "pair": Served(_same(add_sub(("b", 4), "FP32")), _ADD_SUB, 8),
    "line": Served(_same(identity("FP32", ["b", "n"])), max_batch_size=8),
    "wide": Served(_same(doubled()), _WIDE, 8),
    "defaulted": Served(_same(add_sub(("b", 4), "FP32")), _DEFAULTED, 8, is_python=True),
}

#: Models by the name of the server (see servers.py) that has only these.
FEW: Final = ("simple", "id_fp32", "id_bytes")


def write_repository(folder: Path, names: tuple[str, ...], *, reference: bool) -> Path:
    """Write models for one of the two servers."""
    for name in names:
        if name in ENSEMBLES:
            ENSEMBLES[name].write(folder, name)
            continue
        served = MODELS.get(name) or STEPS[name]
        for version in served.versions:
            served.graph(version).write(
                folder, name, max_batch_size=served.max_batch_size, version=version, extra=one_cpu() + served.extra
            )
            if reference or served.is_python:
                (folder / name / str(version) / "model.onnx").unlink()
                (folder / name / str(version) / "model.py").write_text(_HEAD + served.answer)
        for file, text in (served.files or {}).items():
            (folder / name / file).write_text(text)
        config = folder / name / "config.pbtxt"
        text = config.read_text()
        if served.files:
            text = text.replace('{ name: "OUTPUT0"', '{ name: "OUTPUT0" label_filename: "labels.txt"')
        if name == "defaulted":
            text = text.replace('{ name: "INPUT1"', '{ name: "INPUT1" optional: true')
        if reference or served.is_python:
            text = text.replace('backend: "onnxruntime"', 'backend: "python"')
        config.write_text(text)
    return folder
