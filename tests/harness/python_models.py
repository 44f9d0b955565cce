"""Models written in Python, made when the tests run. Most run the code that a request brings, so that a test shows it all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.repository import BATCHING, DELAYED_BATCHING, one_cpu
from tis.contracts.datatypes import ELEMENT_BYTES, to_config

#: Runs the text in CODE. `out` is what execute returns; `R` makes a response of one string for each argument.
RUNS_CODE: Final = """\
import json, os, sys, threading, time
import numpy as np
import triton_python_backend_utils as pb


def respond(*values, **options):
    return pb.InferenceResponse([pb.Tensor("OUT", np.array([str(each)], object)) for each in values], **options)


class TritonPythonModel:
    def initialize(self, args):
        self.args = args
        self.kept = {}

    def execute(self, requests):
        code = pb.get_input_tensor_by_name(requests[0], "CODE").as_numpy().ravel()[0].decode()
        names = {"requests": requests, "request": requests[0], "self": self, "R": respond, **globals()}
        exec(code, names)
        return names.get("out")
"""

_BEGIN, _, _ = RUNS_CODE.partition("        exec(code, names)\n")
#: The same as a coroutine, in which the text may await.
RUNS_COROUTINE: Final = (
    _BEGIN.replace("    def execute", "    async def execute")
    + """\
        text = "import asyncio\\nasync def main():\\n " + code.replace("\\n", "\\n ") + "\\n return locals().get('out')\\n"
        exec(text, names)
        return await names["main"]()
"""
)

#: Answers with its inputs, whatever they are, without looking at them.
ECHOES: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([self.echo(each) for each in request.inputs()]) for request in requests]

    def echo(self, tensor):
        name = "OUT" + tensor.name()[2:]
        return pb.Tensor.from_dlpack(name, tensor) if name == "OUTBF16" else pb.Tensor(name, tensor.as_numpy())
"""

_CODE_IO: Final = """\
input [
  { name: "CODE" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "F" data_type: TYPE_FP32 dims: [ -1 ] optional: true },
  { name: "B" data_type: TYPE_BF16 dims: [ -1 ] optional: true }
]
output [ { name: "OUT" data_type: TYPE_STRING dims: [ -1 ] }, { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""


@dataclass(frozen=True)
class PythonModel:
    """The text of a model.py and of its config, without the backend; no config at all for None."""

    source: str
    config: str | None = ""
    filename: str = "model.py"
    #: Other files, by their path in the model's directory.
    files: Mapping[str, str] = field(default_factory=dict)

    def write(self, repository: Path, name: str) -> Path:
        """Add it to a repository as version 1; gives the model's directory."""
        folder = repository / name
        (folder / "1").mkdir(parents=True)
        (folder / "1" / self.filename).write_text(self.source)
        if self.config is not None:
            (folder / "config.pbtxt").write_text(f'backend: "python"\n{one_cpu()}{self.config}')
        for path, text in self.files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        return folder


def _echo_config(names: tuple[str, ...]) -> str:
    return "".join(
        f'{side} [ {{ name: "{side.upper().removesuffix("PUT")}{name}" data_type: {to_config(name)} dims: [ -1 ] '
        + ("optional: true } ]\n" if side == "input" else "} ]\n")
        for name in names
        for side in ("input", "output")
    )


CODE: Final = PythonModel(RUNS_CODE, _CODE_IO + 'parameters { key: "k" value: { string_value: "v" } }\n')
CODE_BATCHED: Final = PythonModel(RUNS_CODE, _CODE_IO + "max_batch_size: 4\n" + DELAYED_BATCHING)
CODE_DECOUPLED: Final = PythonModel(RUNS_CODE, _CODE_IO + "model_transaction_policy { decoupled: true }\n")
CODE_ASYNC: Final = PythonModel(RUNS_COROUTINE, _CODE_IO)
CODE_ASYNC_DECOUPLED: Final = PythonModel(RUNS_COROUTINE, _CODE_IO + "model_transaction_policy { decoupled: true }\n")
#: IN<datatype> to OUT<datatype>, all of them optional.
ECHO: Final = PythonModel(ECHOES, _echo_config(tuple(ELEMENT_BYTES)))
ECHO_BATCHED: Final = PythonModel(
    ECHOES, _echo_config(("FP32",)).replace("optional: true", "") + "max_batch_size: 8\n" + BATCHING
)

PYTHON_MODELS: Final[dict[str, PythonModel]] = {
    "code": CODE,
    "code_async": CODE_ASYNC,
    "code_batched": CODE_BATCHED,
    "code_decoupled": CODE_DECOUPLED,
    "py_echo": ECHO,
    "py_batched": ECHO_BATCHED,
}


def write_python_models(repository: Path) -> Path:
    """All of these in a repository."""
    for name, model in PYTHON_MODELS.items():
        model.write(repository, name)
    return repository
