"""What PyTorch models may be and what their configs may say; loaded without a server."""

import itertools
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.native_models import parameter, tensors
from tests.harness.repository import one_cpu
from tis.errors import Code, TisError
from tis.testing import LoadedModel, ModelError, load_model

if find_spec("torch") is None:
    pytest.skip("'torch' is not installed: pip install 'tis[torch]'", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_NUMBERS = itertools.count()
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture(scope="module")
def torch() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

        yield torch


class Models:
    """Puts PyTorch models into a repository and loads them."""

    def __init__(self, torch: Any, folder: Path) -> None:
        self.torch = torch
        self.folder = folder

    def file(self, name: str = "m", filename: str = "model.pt") -> Path:
        path = self.folder / name / "1" / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def script(self, code: str, name: str = "m") -> None:
        """TorchScript with a method `forward` of this code."""
        # TorchScript knows a class by its name for good.
        module = type(f"Scripted{next(_NUMBERS)}", (self.torch.jit.ScriptModule,), {})()
        module.define(code)
        module.save(str(self.file(name)))

    def config(self, text: str, name: str = "m", max_batch_size: int = 0) -> None:
        (self.folder / name / "config.pbtxt").write_text(
            f'name: "{name}"\nbackend: "pytorch"\nmax_batch_size: {max_batch_size}\n{text}{one_cpu()}'
        )

    def load(self, name: str = "m") -> LoadedModel:
        return load_model(self.folder / name)

    def refused(self, name: str = "m") -> TisError | ModelError:
        with pytest.raises((TisError, ModelError)) as caught:
            self.load(name)
        return caught.value


@pytest.fixture
def models(torch: Any, tmp_path: Path) -> Models:
    return Models(torch, tmp_path)


def two_in_two_out(inputs: tuple[str, str], outputs: tuple[str, str] = ("OUTPUT__0", "OUTPUT__1")) -> str:
    sides = (("input", inputs), ("output", outputs))
    return "".join(tensors(side, **{name: ("FP32", "4")}) for side, names in sides for name in names)


# ---- names -------------------------------------------------------------------------------------------------------------

BOTH = "def forward(self, left, right):\n    return left - right, left + right\n"


@pytest.mark.parametrize(
    "names",
    [("left", "right"), ("right", "left"), ("X__0", "X__1"), ("X__1", "X__0"), ("first", "second")],
    ids=["arguments", "arguments in another order", "indices", "indices in another order", "the config's order"],
)
def test_inputs_are_found_by_argument_by_index_or_by_order(models: Models, names: tuple[str, str]) -> None:
    models.script(BOTH)
    models.config(two_in_two_out(names), max_batch_size=4)
    left = next(name for name in names if name in ("left", "X__0", "first"))
    right = next(name for name in names if name != left)
    with models.load() as model:
        answer = model.infer({left: ROWS, right: ROWS * 3})
        assert answer["OUTPUT__0"].tolist() == (-2 * ROWS).tolist()
        assert answer["OUTPUT__1"].tolist() == (4 * ROWS).tolist()


def test_outputs_are_found_by_index_and_those_not_asked_for_are_left_out(models: Models) -> None:
    models.script(BOTH)
    models.config(two_in_two_out(("left", "right"), ("SUM__1", "DIFFERENCE__0")), max_batch_size=4)
    with models.load() as model:
        answer = model.infer({"left": ROWS, "right": ROWS}, outputs=["SUM__1"])
        assert list(answer) == ["SUM__1"]
        assert answer["SUM__1"].tolist() == (2 * ROWS).tolist()


def test_a_dictionary_of_tensors_is_filled_by_the_inputs_names_and_one_may_be_given(models: Models) -> None:
    code = "def forward(self, each: Dict[str, Tensor]):\n    return {'b': each['x'] - each['y'], 'a': each['x'] + each['y']}\n"
    models.script(code)
    models.config(two_in_two_out(("y", "x"), ("a", "b")), max_batch_size=4)
    with models.load() as model:
        answers = model.batch([{"x": ROWS, "y": ROWS * 3}, {"x": ROWS, "y": ROWS}])
        assert isinstance(answers[0], dict)
        assert answers[0]["a"].tolist() == (4 * ROWS).tolist()
        assert answers[0]["b"].tolist() == (-2 * ROWS).tolist()


def test_a_config_that_does_not_fit_the_arguments_is_refused(models: Models) -> None:
    models.script(BOTH)
    one = tensors("output", OUTPUT__0=("FP32", "4"))
    for given, words in (
        (("left",), "configuration expects 1 inputs, model provides 2"),
        (("X__0", "X__2"), "must have the indices 0 to 1, got 0, 2"),
        (("X__1", "Y__1"), "inputs 'X__1' and 'Y__1' of model 'm' have the same index 1"),
    ):
        models.config("".join(tensors("input", **{name: ("FP32", "4")}) for name in given) + one)
        error = models.refused()
        assert words in error.message
        assert error.code is Code.INVALID_ARG
    models.script("def forward(self, x, n: int):\n    return x * n\n")
    assert "An input of type 'int' was detected in the model." in models.refused().message
    models.config(one + tensors("input", x=("FP32", "4")))
    models.script("def forward(self, x: Dict[str, Tensor], y: Dict[str, Tensor]):\n    return x['x']\n")
    assert "Multiple inputs of kind DictType were detected" in models.refused().message


def test_an_output_that_the_model_does_not_give_fails_the_request_in_tritons_words(models: Models) -> None:
    models.script("def forward(self, x):\n    return x\n")
    sides = tensors("input", x=("FP32", "4")) + tensors("output", OUTPUT__1=("FP32", "4"))
    models.config(sides, max_batch_size=4)
    with (
        models.load() as model,
        pytest.raises(ModelError, match=r"refers to an output index which doesn't exist\. This mod"),
    ):
        model.infer({"x": ROWS})


# ---- datatypes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "datatype",
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"],
)
def test_every_datatype_comes_and_goes_unchanged(models: Models, datatype: str) -> None:
    from tis.contracts.datatypes import NUMPY

    models.script("def forward(self, x):\n    return x.clone()\n")
    models.config(tensors("input", x=(datatype, "-1")) + tensors("output", y=(datatype, "-1")))
    values = np.array([0, 1, 1, 0], NUMPY[datatype])
    with models.load() as model:
        answer = model.infer({"x": values})["y"]
        assert (answer.dtype, answer.tolist()) == (values.dtype, values.tolist())


def test_bf16_is_bf16_inside_the_model(models: Models) -> None:
    models.script("def forward(self, x):\n    return (x * 2).to(torch.float32)\n")
    models.config(tensors("input", x=("BF16", "-1")) + tensors("output", y=("FP32", "-1")))
    bits = (np.array([1.5, -3.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    with models.load() as model:
        assert model.infer({"x": bits})["y"].tolist() == [3.0, -6.0]


def test_strings_are_lists_of_one_dimension(models: Models) -> None:
    code = (
        "def forward(self, words: List[str]):\n    out: List[str] = []\n    for word in words:\n"
        "        out.append(word.upper())\n    return out, torch.tensor([len(word) for word in words])\n"
    )
    models.script(code)
    both = tensors("output", OUT__0=("STRING", "-1"), LENGTH__1=("INT64", "-1"))
    models.config(tensors("input", WORDS__0=("STRING", "-1")) + both)
    with models.load() as model:
        answer = model.infer({"WORDS__0": np.array([b"abc", "é".encode(), b""], object)})
        assert answer["OUT__0"].tolist() == [b"ABC", "é".encode(), b""]
        assert answer["LENGTH__1"].tolist() == [3, 1, 0]
        with pytest.raises(ModelError, match="input 'WORDS__0' holds bytes that are not UTF-8"):
            model.infer({"WORDS__0": np.array([b"\xff"], object)})
    flat = "".join(
        f'{side} [ {{ name: "{name}" data_type: TYPE_{kind} dims: [ 1 ] reshape {{ shape: [ ] }} }} ]\n'
        for side, name, kind in (("input", "WORDS__0", "STRING"), ("output", "OUT__0", "STRING"))
    )
    models.config(flat, max_batch_size=4)
    with models.load() as model:
        answers = model.batch([{"WORDS__0": [[b"a"]]}, {"WORDS__0": [[b"b"], [b"c"]]}])
        assert [each["OUT__0"].tolist() for each in answers if isinstance(each, dict)] == [[[b"A"]], [[b"B"], [b"C"]]]
    models.config(tensors("input", WORDS__0=("STRING", "-1")) + both, max_batch_size=4)
    assert "only supports 1 dimensional List of String as input for 'WORDS__0'" in models.refused().message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("x.to(torch.int64)", "configuration expects datatype TYPE_FP32 for output 'y', model provides TYPE_INT64"),
        ("x.sum()", "output 'y' is a scalar which is not supported."),
        ("[x]", "PyTorch execute failure: output must be of type Tensor, List[str] or Tuple"),
        ("x.reshape(3, 3, 3)", "PyTorch execute failure: "),
    ],
    ids=["datatype", "scalar", "list", "failure"],
)
def test_a_result_that_does_not_fit_fails_its_request_and_not_the_model(models: Models, given: str, words: str) -> None:
    models.script(f"def forward(self, x):\n    return {given}\n")
    models.config(tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4")))
    with models.load() as model:
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                model.infer({"x": ROWS[0]})
            assert words in caught.value.message


# ---- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("return torch.relu_(x + 1)", False),
        ("y = x.view(-1)\n    y.add_(1)\n    return x", True),
        ("return x.add_(1)", True),
        ("parts = [x, x]\n    for part in parts:\n        part.mul_(2)\n    return x", True),
        ("y = x\n    for _ in range(3):\n        y = y * 2\n        y.add_(1)\n    return y", False),
        ("y = x\n    while bool(y.sum() < 9):\n        y.add_(1)\n        y = y[0:]\n    return y + 0", True),
        ("return torch.nn.functional.linear(x, x.t())", False),
    ],
)
def test_it_is_known_which_models_may_write_to_their_inputs(models: Models, code: str, writes: bool) -> None:
    from tis_workers.backends.pytorch_aliases import writes_to_inputs

    models.script(f"def forward(self, x):\n    {code}\n")
    loaded = models.torch.jit.load(str(models.file()))
    assert writes_to_inputs(loaded.inlined_graph) is writes


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

    class Module(torch.nn.Module):  # type: ignore[misc]
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


def test_what_a_file_is_its_contents_say(models: Models, tmp_path: Path) -> None:
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


@pytest.mark.long
def test_a_package_of_aotinductor_answers(models: Models, tmp_path: Path) -> None:
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


# ---- parameters --------------------------------------------------------------------------------------------------------


def test_parameters_are_taken_by_tritons_names(models: Models) -> None:
    from tis_workers.backends.pytorch_options import read_options

    models.script("def forward(self, x):\n    return x\n")
    sides = tensors("input", x=("FP32", "4")) + tensors("output", y=("FP32", "4"))
    said = {
        "DISABLE_OPTIMIZED_EXECUTION": "true",
        "INFERENCE_MODE": "false",
        "ENABLE_CACHE_CLEANING": "1",
        "INTRA_OP_THREAD_COUNT": "3",
        "INTER_OP_THREAD_COUNT": "2",
        "ENABLE_JIT_PROFILING": "True",
        "ENABLE_JIT_EXECUTOR": "TRUE",
        "DISABLE_CUDNN": "true",
    }
    threads = models.torch.get_num_threads()
    try:
        models.config(sides + "".join(parameter(*each) for each in said.items()))
        with models.load() as model:
            assert models.torch.get_num_threads() == 3
            assert model.infer({"x": ROWS[0]})["y"].tolist() == ROWS[0].tolist()
    finally:
        models.torch.set_num_threads(threads)
        read_options({}, "m").apply(threads)
    options = read_options(said, "m")
    assert (options.optimized_execution, options.inference_mode, options.clean_cache, options.cudnn) == (
        *(False, False, True, False),
    )
    assert (options.jit_profiling, options.jit_executor, options.inter_op_threads) == (True, True, 2)
    for name, value in (("INFERENCE_MODE", "maybe"), ("INTRA_OP_THREAD_COUNT", "-1")):
        models.config(sides + parameter(name, value))
        error = models.refused()
        assert (error.code, f"failed to convert '{value}'" in error.message) == (Code.INVALID_ARG, True)


def test_a_state_of_sequences_is_kept_between_requests(models: Models) -> None:
    models.script("def forward(self, x, total):\n    return total + x, total + x\n")
    sides = tensors("input", INPUT__0=("FP32", "1")) + tensors("output", OUTPUT__0=("FP32", "1"))
    state = (
        'sequence_batching { state [ { input_name: "STATE__1" output_name: "STATE_OUT__1" data_type: TYPE_FP32 dims: [ 1 ] '
        'initial_state { data_type: TYPE_FP32 dims: [ 1 ] zero_data: true name: "zero" } } ] }\n'
    )
    models.config(sides + state, max_batch_size=1)
    with models.load() as model:
        totals = []
        for value in (1, 2, 3):
            ends = {"sequence_start": value == 1, "sequence_end": value == 3}
            answer = model.infer({"INPUT__0": np.array([[value]], np.float32)}, sequence_id=7, **ends)
            totals.append(answer["OUTPUT__0"].item())
        assert totals == [1, 3, 6]


def test_a_gpu_instance_is_refused_where_pytorch_has_none(models: Models, torch: Any) -> None:
    from tis.contracts.model_spec import InstanceSpec
    from tis_workers.backends.pytorch_backend import _device

    assert _device(InstanceSpec("m_0", "CPU")) == torch.device("cpu")
    assert _device(InstanceSpec("m_0", "MODEL")) is None
    if not torch.cuda.is_available():
        with pytest.raises(TisError, match="a KIND_GPU instance needs a GPU that PyTorch can use"):
            _device(InstanceSpec("m_0", "GPU"))


@pytest.mark.gpu
def test_tensors_go_to_a_gpu_and_back_through_pinned_memory(torch: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    from tis_workers.backends.pytorch_tensors import from_gpu, on_gpu, pinned_batch

    class Part:
        batch_size = 2
        inputs = {"x": ROWS}

    batch = pinned_batch([Part(), Part()])["x"]
    assert torch.from_numpy(batch).is_pinned()
    there = on_gpu(torch.from_numpy(batch), torch.device("cuda", 0))
    assert there.is_cuda
    (back,) = from_gpu([there * 2])
    assert back.tolist() == (2 * np.concatenate([ROWS, ROWS])).tolist()
