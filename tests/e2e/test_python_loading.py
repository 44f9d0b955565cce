"""Python models that complete their config, and those that cannot be loaded: what the index says of them."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest

from tests.harness.faces import Call, HttpFace
from tests.harness.python_models import PythonModel
from tests.harness.server import Server
from tests.harness.waiting import eventually

_TENSOR: Final = '[ { name: "%s" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
_IO: Final = f"input {_TENSOR % 'I'}output {_TENSOR % 'O'}"
_HEAD: Final = """\
import os, sys
import numpy as np
import triton_python_backend_utils as pb_utils

I = {"name": "I", "data_type": "TYPE_FP32", "dims": [4]}
O = {"name": "O", "data_type": "TYPE_FP32", "dims": [4]}


class TritonPythonModel:
"""
_EXECUTE: Final = """
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("O", r.inputs()[0].as_numpy())]) for r in requests]
"""


def completing(body: str, config: str | None = "") -> PythonModel:
    return PythonModel(
        f"{_HEAD}    @staticmethod\n    def auto_complete_config(c):\n        {body}\n{_EXECUTE}", config
    )


def with_function(text: str) -> PythonModel:
    return PythonModel(f"{_HEAD}    {text}\n{_EXECUTE}", _IO)


GOOD: Final = {
    "whole": completing("c.add_input(I); c.add_output(O); c.set_max_batch_size(8); c.set_dynamic_batching(); return c"),
    "unwritten": completing("c.add_input(I); c.add_output(O); c.set_max_batch_size(0); return c", None),
    "decoupled": completing(
        "c.add_input(I); c.add_output(O); c.set_model_transaction_policy({'decoupled': True}); return c"
    ),
    "optional": completing("c.add_input({**I, 'optional': True}); c.add_output(O); return c"),
    "agreeing": completing("c.set_max_batch_size(4); c.set_dynamic_batching(); return c", _IO + "max_batch_size: 4\n"),
    "unknown_field": completing("c.as_dict()['later'] = 1; return c", _IO),
    "not_completing": PythonModel(_HEAD + _EXECUTE, _IO),
    "other_file": PythonModel(_HEAD + _EXECUTE, _IO + 'default_model_filename: "mine.py"\n', "mine.py"),
    "helper": PythonModel(
        "import beside, within\n" + _HEAD + _EXECUTE, _IO, files={"beside.py": "", "1/within.py": "import beside\n"}
    ),
    "finalizing": with_function("def finalize(self):\n        raise ValueError('no end')"),
}
#: Models that cannot be loaded, and what the reason begins with.
BAD: Final = {
    "syntax": (PythonModel("def x(:\n", _IO), "Internal: SyntaxError: invalid syntax (model.py, line 1)"),
    "no_import": (
        PythonModel("import nosuch_x\n", _IO),
        "Internal: ModuleNotFoundError: No module named 'nosuch_x'\n\nAt:\n  {path}/1/model.py(1): <module>\n",
    ),
    "no_class": (
        PythonModel("", _IO),
        "Internal: AttributeError: module '1.model' has no attribute 'TritonPythonModel'",
    ),
    "no_execute": (
        PythonModel(_HEAD + "    pass\n", _IO),
        "Internal: Python model {path}/1/model.py does not implement `execute` method.",
    ),
    "no_file": (PythonModel("", _IO, "other.py"), "Internal: ModuleNotFoundError: No module named '1.model'"),
    "no_start": (
        with_function("def initialize(self, args):\n        raise ValueError('no start')"),
        "Internal: ValueError: no start\n\nAt:\n  {path}/1/model.py(11): initialize\n",
    ),
    "exits": (
        with_function("def initialize(self, args):\n        sys.exit(4)"),
        "Internal: SystemExit: 4\n\nAt:\n  {path}/1/model.py(11): initialize\n",
    ),
    "no_arguments": (
        with_function("def initialize(self):\n        pass"),
        "Internal: TypeError: TritonPythonModel.initialize() takes 1 positional argument but 2 were given",
    ),
    "no_config": (
        completing("pass"),
        "Internal: auto_complete_config function in model 'no_config' must return a valid pb.ModelConfig object.",
    ),
    "contradicts": (
        completing("c.add_input({**I, 'data_type': 'TYPE_INT32'}); return c", _IO),
        "Internal: ValueError: unable to load model 'contradicts', configuration expects datatype TYPE_FP32 for input 'I', "
        "model provides TYPE_INT32\n\nAt:\n  {path}/1/model.py(12): auto_complete_config\n",
    ),
    "wrong_type": (
        completing("c.add_input({**I, 'data_type': 'TYPE_NO'}); return c"),
        "Invalid argument: model input 'I' must specify 'data_type' for wrong_type",
    ),
}


@pytest.fixture(scope="module")
def loading_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("loading")
    (folder / "models").mkdir()
    for name, model in GOOD.items():
        model.write(folder / "models", name)
    for name, (model, _) in BAD.items():
        model.write(folder / "models", name)
    served = Server(folder / "models", "--exit-on-error=false", "--log-verbose=1", log=folder / "log")
    try:
        served.start()
        eventually(
            lambda: not any(each.get("state") == "LOADING" for each in index(served).values()), "all have settled"
        )
        yield served
        assert served.stop() == 0
        assert "ValueError: no end" in served.log()
    finally:
        served.close()


def index(server: Server) -> dict[str, dict[str, Any]]:
    face = HttpFace(server)
    try:
        return {each["name"]: each for each in face.ask("get_model_repository_index")}
    finally:
        face.close()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_model_is_ready_and_answers(loading_server: Server, name: str) -> None:
    entry = index(loading_server)[name]
    assert entry["state"] == "READY", entry.get("reason")
    if name == "decoupled":
        return
    face = HttpFace(loading_server)
    batched = face.ask("get_model_config", name)["max_batch_size"] > 0
    sent = np.ones((1, 4) if batched else 4, np.float32)
    assert face.infer(Call(name, {"I": sent})).outputs["O"].tolist() == sent.tolist()
    face.close()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_model_says_why_and_where(loading_server: Server, name: str) -> None:
    entry = index(loading_server)[name]
    assert entry["state"] == "UNAVAILABLE"
    assert entry["reason"].startswith(BAD[name][1].format(path=loading_server.repository / name))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("whole", {"max_batch_size": 8, "dims": [4], "optional": False, "batches": True, "decoupled": False}),
        ("unwritten", {"max_batch_size": 0, "dims": [4], "optional": False, "batches": False, "decoupled": False}),
        ("decoupled", {"max_batch_size": 0, "dims": [4], "optional": False, "batches": False, "decoupled": True}),
        ("optional", {"max_batch_size": 0, "dims": [4], "optional": True, "batches": False, "decoupled": False}),
        ("agreeing", {"max_batch_size": 4, "dims": [-1], "optional": False, "batches": True, "decoupled": False}),
    ],
)
def test_a_model_completes_its_config(loading_server: Server, name: str, shown: dict[str, Any]) -> None:
    face = HttpFace(loading_server)
    config = face.ask("get_model_config", name)
    face.close()
    found = {
        "max_batch_size": config["max_batch_size"],
        "dims": config["input"][0]["dims"],
        "optional": config["input"][0]["optional"],
        "batches": "dynamic_batching" in config,
        "decoupled": config.get("model_transaction_policy", {}).get("decoupled", False),
    }
    assert found == shown
