"""The models of the cases, for both servers: ONNX for this one, Python models that do the same for the reference.

The models of the server `python` are the same on both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.ensembles import ENSEMBLES
from tests.harness.bls_models import BLS_ENSEMBLES, BLS_MODELS
from tests.harness.models import (
    ELEMENT_TYPES,
    Model,
    Tensor,
    add_constant,
    add_sub,
    doubled,
    gather,
    identities,
    identity,
)
from tests.harness.python_models import PYTHON_MODELS
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


#: What decoupled models of the reference begin with: one response after another for each request.
_DECOUPLED: Final = """\
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.parameters = json.loads(args["model_config"])["parameters"]

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            refusal = self.refusal(request)
            if refusal:
                error = pb_utils.TritonError(refusal, pb_utils.TritonError.INVALID_ARG)
                sender.send(pb_utils.InferenceResponse(error=error), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                continue
            for response in self.responses(request):
                sender.send(response)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def at(self, request, name):
        return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

    def number(self, name):
        return int(self.parameters.get(name, {"string_value": "0"})["string_value"])

    def refusal(self, request):
        return ""

"""
_REPEAT: Final = (
    _DECOUPLED
    + """\
    def responses(self, request):
        for index, element in enumerate(self.at(request, "IN")):
            out = pb_utils.Tensor("OUT", np.array([element], np.int32))
            idx = pb_utils.Tensor("IDX", np.array([index], np.uint32))
            yield pb_utils.InferenceResponse([out, idx])

    def refusal(self, request):
        given = [list(self.at(request, name).shape) for name in ("IN", "DELAY")]
        return "" if given[0] == given[1] else f"expected IN and DELAY shape to match, got {given[0]} and {given[1]}"
"""
)
_SQUARE: Final = (
    _DECOUPLED
    + """\
    def responses(self, request):
        count = int(self.at(request, "IN")[0])
        for left in range(count, self.number("CUSTOM_EMPTY_COUNT"), -1):
            if left <= self.number("CUSTOM_EMPTY_COUNT") + self.number("CUSTOM_FAIL_COUNT"):
                error = pb_utils.TritonError("simulated failure", pb_utils.TritonError.UNKNOWN)
                yield pb_utils.InferenceResponse(error=error)
            else:
                yield pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([count], np.int32))])
"""
)
#: Decoupled, and still one response to each request, which is the last.
_ONE_RESPONSE: Final = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            output = pb_utils.Tensor("OUTPUT0", request.inputs()[0].as_numpy())
            final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            request.get_response_sender().send(pb_utils.InferenceResponse([output]), final)
"""
_MANY: Final = "model_transaction_policy { decoupled: true }\n"


@dataclass(frozen=True)
class Served:
    """A model as both servers serve it."""

    graph: Callable[[int], Model]
    answer: str = _IDENTITY
    max_batch_size: int = 0
    extra: str = ""
    versions: tuple[int, ...] = (1,)
    files: Mapping[str, str] | None = None
    #: The backend of this server, and the whole of the reference's model where it answers in a way of its own.
    backend: str = "onnxruntime"
    source: str = ""


def _same(model: Model) -> Callable[[int], Model]:
    return lambda _version: model


def _tensors(inputs: Mapping[str, tuple[str, int]], outputs: Mapping[str, tuple[str, int]]) -> Model:
    """No graph, only tensors of one dimension by name."""
    given, answered = (
        tuple(Tensor(name, kind, (dim,)) for name, (kind, dim) in each.items()) for each in (inputs, outputs)
    )
    return Model(given, answered, ())


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

#: Decoupled models, which have a server of their own.
DECOUPLED: Final[dict[str, Served]] = {
    "repeat": Served(
        _same(
            _tensors(
                {"IN": ("INT32", -1), "DELAY": ("UINT32", -1), "WAIT": ("UINT32", 1)},
                {"OUT": ("INT32", 1), "IDX": ("UINT32", 1)},
            )
        ),
        extra=_MANY,
        backend="repeat",
        source=_REPEAT,
    ),
    "square": Served(
        _same(_tensors({"IN": ("INT32", 1)}, {"OUT": ("INT32", 1)})), extra=_MANY, backend="square", source=_SQUARE
    ),
    "square_failing": Served(
        _same(_tensors({"IN": ("INT32", 1)}, {"OUT": ("INT32", 1)})),
        extra=_MANY
        + "".join(
            f'parameters {{ key: "CUSTOM_{each}_COUNT" value: {{ string_value: "1" }} }}\n'
            for each in ("FAIL", "EMPTY")
        ),
        backend="square",
        source=_SQUARE,
    ),
    "one_response": Served(_same(identity("FP32", [-1])), extra=_MANY, source=_ONE_RESPONSE),
}

#: Models that only ensembles use.
STEPS: Final[dict[str, Served]] = {
    "pair": Served(_same(add_sub(("b", 4), "FP32")), _ADD_SUB, 8),
    "line": Served(_same(identity("FP32", ["b", "n"])), max_batch_size=8),
    "wide": Served(_same(doubled()), _WIDE, 8),
    "defaulted": Served(_same(add_sub(("b", 4), "FP32")), _DEFAULTED, 8, backend="python"),
}

#: Models by the name of the server (see servers.py) that has only these.
FEW: Final = ("simple", "id_fp32", "id_bytes")


def write_repository(folder: Path, names: tuple[str, ...], *, reference: bool) -> Path:
    """Write models for one of the two servers."""
    for name in names:
        if name in PYTHON_MODELS or name in BLS_MODELS:
            {**PYTHON_MODELS, **BLS_MODELS}[name].write(folder, name)
            continue
        if name in BLS_ENSEMBLES:
            BLS_ENSEMBLES[name].write(folder, name)
            continue
        if name in ENSEMBLES:
            ENSEMBLES[name].write(folder, name)
            continue
        served = {**MODELS, **DECOUPLED, **STEPS}[name]
        for version in served.versions:
            served.graph(version).write(
                folder, name, max_batch_size=served.max_batch_size, version=version, extra=one_cpu() + served.extra
            )
            if reference or served.backend != "onnxruntime":
                (folder / name / str(version) / "model.onnx").unlink()
            if reference or served.backend == "python":
                (folder / name / str(version) / "model.py").write_text(served.source or _HEAD + served.answer)
        for file, text in (served.files or {}).items():
            (folder / name / file).write_text(text)
        config = folder / name / "config.pbtxt"
        text = config.read_text()
        if served.files:
            text = text.replace('{ name: "OUTPUT0"', '{ name: "OUTPUT0" label_filename: "labels.txt"')
        if name == "defaulted":
            text = text.replace('{ name: "INPUT1"', '{ name: "INPUT1" optional: true')
        text = text.replace('backend: "onnxruntime"', f'backend: "{"python" if reference else served.backend}"')
        config.write_text(text)
    return folder
