"""Files of PyTorch, and the memory that their tensors lie in; loaded without a server."""

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.frameworks.pytorch_models import ROWS, Models, models, torch
from tests.harness.native_models import parameter, tensors
from tis.errors import Code, TisError

__all__ = ["models", "torch"]

if find_spec("torch") is None:
    pytest.skip("'torch' is not installed: pip install 'tis[torch]'", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


# ---- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "touches"),
    [
        ("return torch.relu_(x + 1)", False),
        ("y = x.view(-1)\n    y.add_(1)\n    return x", True),
        ("return x.add_(1)", True),
        ("parts = [x, x]\n    for part in parts:\n        part.mul_(2)\n    return x", True),
        ("y = x\n    for _ in range(3):\n        y = y * 2\n        y.add_(1)\n    return y", False),
        ("y = x\n    while bool(y.sum() < 9):\n        y.add_(1)\n        y = y[0:]\n    return y + 0", True),
        ("return torch.nn.functional.linear(x, x.t())", False),
        # In vain: what is put into a list of theirs is nothing of theirs.
        ("parts = [x]\n    parts.append(x * 2)\n    return torch.cat(parts)", True),
        ("parts: List[Tensor] = []\n    parts.append(x[0])\n    return torch.cat(parts)", True),
    ],
)
def test_it_is_known_which_models_may_write_to_their_inputs_or_keep_them(
    models: Models, code: str, touches: bool
) -> None:
    from tis_workers.backends.pytorch_aliases import touches_inputs

    models.script(f"def forward(self, x):\n    {code}\n")
    loaded = models.torch.jit.load(str(models.file()))
    assert touches_inputs(loaded.inlined_graph) is touches


def test_a_model_may_keep_its_input_without_seeing_the_next_one_in_it(models: Models) -> None:
    models.script("def forward(self, x):\n    before = self.last\n    self.last = x\n    return before\n", last=ROWS)
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")), max_batch_size=4)
    mine = ROWS * 2
    with models.load() as model:
        assert model.infer({"x": mine})["y"].tolist() == ROWS.tolist()
        mine += 100
        assert model.infer({"x": mine})["y"].tolist() == (ROWS * 2).tolist()


def test_a_model_may_write_to_its_input_without_a_client_seeing_it(models: Models) -> None:
    models.script("def forward(self, x):\n    return x.add_(1)\n")
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")), max_batch_size=4)
    mine = ROWS.copy()
    with models.load() as model:
        assert model.infer({"x": mine})["y"].tolist() == (ROWS + 1).tolist()
        assert model.infer({"x": mine})["y"].tolist() == (ROWS + 1).tolist()
    assert mine.tolist() == ROWS.tolist()


def test_an_input_is_no_copy_and_neither_is_what_torch_gives(torch: Any) -> None:
    from tis_workers.backends.pytorch_tensors import array_of, tensor_of

    array = np.arange(4, dtype=np.float32)
    tensor = tensor_of(array, is_bf16=False)
    assert tensor.data_ptr() == array.ctypes.data
    assert array_of(tensor).ctypes.data == array.ctypes.data
    array.flags.writeable = False
    assert tensor_of(array, is_bf16=False).tolist() == array.tolist()
    assert array_of(torch.arange(4.0).reshape(2, 2).t()).tolist() == [[0, 2], [1, 3]]


# ---- files -------------------------------------------------------------------------------------------------------------


def export(models: Models, filename: str = "model.pt2") -> None:
    """A program of two arguments whose batch is of any size, which gives results by name."""
    torch = models.torch

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def forward(self, x: Any, scale: Any) -> Any:
            return {"scaled": x * scale, "kind": (x > 1).to(torch.int64)}

    rows = torch.export.Dim("rows", max=8)
    example = torch.ones(2, 4), torch.ones(2, 1)
    program = torch.export.export(Module(), example, dynamic_shapes=({0: rows}, {0: rows}))
    torch.export.save(program, str(models.file(filename=filename)))


def test_a_program_of_torch_export_completes_its_config_and_is_compared_with_it(models: Models) -> None:
    export(models)
    with models.load() as model:
        spec = model.spec
        assert (spec.backend, spec.platform, spec.filename) == ("pytorch", "pytorch_libtorch", "model.pt2")
        assert spec.max_batch_size == 4
        assert [(each.name, each.datatype, each.shape) for each in spec.inputs] == [
            ("x", "FP32", (4,)),
            ("scale", "FP32", (1,)),
        ]
        assert [(each.name, each.datatype, each.shape) for each in spec.outputs] == [
            ("scaled", "FP32", (4,)),
            ("kind", "INT64", (4,)),
        ]
        answer = model.infer({"x": ROWS, "scale": np.array([[2], [3]], np.float32)})
        assert answer["scaled"].tolist() == (ROWS * [[2], [3]]).tolist()
        assert answer["kind"].tolist() == (ROWS > 1).astype(int).tolist()
    inputs = tensors("input", X__0=("FP32", "4"), X__1=("FP32", "1"))
    models.config(inputs + tensors("output", Y__1=("INT64", "4"), Y__0=("FP32", "4")), max_batch_size=8)
    with models.load() as model:
        answer = model.infer({"X__0": ROWS, "X__1": np.ones((2, 1), np.float32)})
        assert answer["Y__0"].tolist() == ROWS.tolist()
    models.config(inputs + tensors("output", Y__0=("FP64", "4")), max_batch_size=8)
    assert "expects datatype TYPE_FP64 for output 'Y__0', model provides TYPE_FP32" in models.refused().message
    models.config(inputs + tensors("output", Y__0=("FP32", "3")), max_batch_size=8)
    assert "tensor 'Y__0': the model expects 2 dimensions (shape [-1,4])" in models.refused().message


def test_what_a_file_is_its_contents_say(models: Models) -> None:
    export(models, "model.pt")
    with models.load() as model:
        assert {each.name for each in model.spec.inputs} == {"x", "scale"}
    shutil.rmtree(models.file().parent)
    models.torch.save({"weights": models.torch.zeros(1)}, str(models.file()))
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")))
    error = models.refused()
    assert "is a file of torch.save, which may hold any code and is not loaded" in error.message
    models.file().unlink()
    assert models.refused().code is Code.NOT_FOUND


CLASS = """
import torch
from torch.nn import Linear

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Linear(4, 3, bias=False)

    def forward(self, x, scale):
        return [self.layer(x) * scale, x]
"""


def test_a_class_in_python_is_served_with_its_weights(models: Models) -> None:
    models.file(filename="model.py").write_text(CLASS)
    models.torch.save({"layer.weight": models.torch.ones(3, 4)}, str(models.file(filename="model.pt")))
    sides = (
        tensors("input", scale=("FP32", "1"), x=("FP32", "4"))
        + tensors("output", y=("FP32", "3"), same=("FP32", "4"))
        + 'runtime: "model.py"\n'
    )
    disabled = parameter("TORCH_COMPILE_OPTIONAL_PARAMETERS", '{\\"disable\\": true}')
    models.config(sides + disabled, max_batch_size=8)
    with models.load() as model:
        answer = model.infer({"x": ROWS, "scale": [[1], [2]]})
        assert answer["y"].tolist() == [[6, 6, 6], [44, 44, 44]]
        assert answer["same"].tolist() == ROWS.tolist()
    for value, words in (
        ("[1]", "must be a JSON object"),
        ("{", "is no JSON"),
        ('{\\"model\\": 1}', "not an optional"),
    ):
        models.config(sides + parameter("TORCH_COMPILE_OPTIONAL_PARAMETERS", value), max_batch_size=8)
        assert words in models.refused().message
    models.config(sides + disabled, max_batch_size=8)
    models.torch.save({"layer.weight": models.torch.ones(2, 4)}, str(models.file(filename="model.pt")))
    assert "failed to load model 'm': RuntimeError: Error(s) in loading state_dict" in models.refused().message
    models.file(filename="model.py").write_text("import torch\n")
    assert "Cannot find a subclass of torch.nn.Module" in models.refused().message
    for each in models.file().parent.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    assert models.refused().code is Code.NOT_FOUND


@pytest.mark.long
def test_a_class_in_python_is_compiled(models: Models) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile compiles with g++, which is not installed")
    models.file(filename="model.py").write_text(CLASS)
    models.config(
        tensors("input", x=("FP32", "4"), scale=("FP32", "1"))
        + tensors("output", y=("FP32", "3"), same=("FP32", "4"))
        + 'runtime: "model.py"\n',
        max_batch_size=8,
    )
    with models.load() as model:
        answer = model.infer({"x": ROWS, "scale": [[1], [2]]})
        assert (answer["y"].shape, answer["same"].tolist()) == ((2, 3), ROWS.tolist())


def test_a_library_of_operations_that_is_none_is_told(models: Models) -> None:
    models.script("def forward(self, x):\n    return x\n")
    models.config(
        tensors("input", x=("FP32", "4"))
        + tensors("output", y=("FP32", "4"))
        + 'model_operations { op_library_filename: "ops.so" }\n'
    )
    (models.folder / "m" / "ops.so").write_bytes(b"no library")
    assert "unable to load the operations in 'ops.so' for model 'm'" in models.refused().message


@pytest.mark.long
def test_a_package_of_aotinductor_answers(models: Models) -> None:
    if shutil.which("g++") is None:
        pytest.skip("AOTInductor compiles with g++, which is not installed")
    target = models.file(filename="model.pt2")
    program = (
        "import torch\nfrom torch._inductor import aoti_compile_and_package\n"
        "layers = torch.nn.Linear(4, 3, bias=False)\nlayers.weight.data.fill_(1)\n"
        "rows = torch.export.Dim('rows', max=8)\n"
        "made = torch.export.export(layers, (torch.ones(2, 4),), dynamic_shapes=({0: rows},))\n"
        f"aoti_compile_and_package(made, package_path={str(target)!r})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=500)
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "3")), max_batch_size=8)
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == [[6, 6, 6], [22, 22, 22]]
        # What was unpacked is mapped, and nothing of it lies about, however the process ends.
        assert not list(Path(tempfile.gettempdir()).glob("tis-aotinductor-*"))


# ---- devices ---------------------------------------------------------------------------------------------------------


def test_a_gpu_instance_is_refused_where_pytorch_has_none(models: Models, torch: Any) -> None:
    from tis.contracts.model_spec import InstanceSpec
    from tis_workers.backends.pytorch_backend import _device

    assert _device(InstanceSpec("m_0", "CPU")) == torch.device("cpu")
    assert _device(InstanceSpec("m_0", "MODEL")) is None
    if not torch.cuda.is_available():
        with pytest.raises(TisError, match="a KIND_GPU instance needs a GPU that PyTorch can use"):
            _device(InstanceSpec("m_0", "GPU"))


def test_a_model_of_kind_model_stays_where_its_file_says(models: Models) -> None:
    models.script("def forward(self, x):\n    return x * 2\n")
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")))
    config = models.folder / "m" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_MODEL"))
    with models.load() as model:
        assert model.infer({"x": ROWS[0]})["y"].tolist() == (2 * ROWS[0]).tolist()


@pytest.mark.gpu
def test_tensors_go_to_a_gpu_and_back_through_pinned_memory(torch: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    from tis_workers.backends.pytorch_tensors import from_gpu, on_gpu, pinned_batch

    request = SimpleNamespace(batch_size=2, inputs={"x": ROWS})
    batch = pinned_batch([request, request])["x"]
    assert torch.from_numpy(batch).is_pinned()
    there = on_gpu(torch.from_numpy(batch), torch.device("cuda", 0))
    assert there.is_cuda
    (back,) = from_gpu([there * 2])
    assert back.tolist() == (2 * np.concatenate([ROWS, ROWS])).tolist()
