"""What OpenVINO models may be and what their configs may say; loaded without a server."""

import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.models import add_constant
from tests.harness.native_models import parameter, tensors
from tests.harness.repository import one_cpu
from tis.contracts.arrays import NUMPY
from tis.errors import Code
from tis.testing import LoadedModel, ModelError, load_model

if find_spec("openvino") is None:
    pytest.skip("'openvino' is not installed: pip install 'tis[openvino]'", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
X = tensors("input", x=("FP32", "4"))
Y = tensors("output", y=("FP32", "4"))


@pytest.fixture(scope="module")
def ov() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino

        yield openvino


class Models:
    """Puts OpenVINO models into a repository and loads them."""

    def __init__(self, ov: Any, folder: Path) -> None:
        self.ov = ov
        self.ops = ov.opset13
        self.folder = folder

    def file(self, filename: str = "model.xml") -> Path:
        path = self.folder / "m" / "1" / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, shape: list[int], build: Callable[[Any, Any], Any], dtype: str = "f32", layout: str = "") -> None:
        """An IR whose output `y` is what a function makes of the input `x`."""
        x = self.ops.parameter(shape, getattr(self.ov.Type, dtype), name="x")
        y = self.ops.result(build(self.ops, x))
        x.output(0).set_names({"x"})
        y.output(0).set_names({"y", "the same"})
        if layout:
            x.set_layout(self.ov.Layout(layout))
            y.set_layout(self.ov.Layout(layout))
        self.ov.save_model(self.ov.Model([y], [x], "test"), self.file(), compress_to_fp16=False)

    def config(self, text: str = "", max_batch_size: int = 0, group: str = "") -> None:
        (self.folder / "m").mkdir(exist_ok=True)
        (self.folder / "m" / "config.pbtxt").write_text(
            f'backend: "openvino"\nmax_batch_size: {max_batch_size}\n{text}{group or one_cpu()}'
        )

    def load(self) -> LoadedModel:
        return load_model(self.folder / "m")

    def refused(self) -> ModelError:
        with pytest.raises(ModelError) as caught:
            self.load()
        return caught.value


@pytest.fixture
def models(ov: Any, tmp_path: Path) -> Models:
    return Models(ov, tmp_path)


def negative(ops: Any, x: Any) -> Any:
    return ops.negative(x)


# ---- what a config is completed to -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, 1])
def test_a_layout_that_begins_with_a_batch_makes_batches_also_of_a_model_of_one_row(models: Models, size: int) -> None:
    models.write([size, 4], negative, layout="N...")
    models.config()
    with models.load() as model:
        assert (model.spec.max_batch_size, model.spec.inputs[0].shape) == (4, (4,))
        assert model.infer({"x": ROWS})["the same"].tolist() == (-ROWS).tolist()


def test_a_variable_first_dimension_alone_makes_no_batches(models: Models) -> None:
    models.write([-1, 4], negative)
    models.config()
    with models.load() as model:
        assert (model.spec.max_batch_size, model.spec.inputs[0].shape) == (0, (-1, 4))
        many = np.repeat(ROWS, 5, axis=0)
        assert model.infer({"x": many})["the same"].tolist() == (-many).tolist()


def test_a_tensor_of_several_names_has_the_one_that_the_config_uses(models: Models) -> None:
    models.write([1, 4], negative)
    models.config(X + Y, max_batch_size=8)
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (-ROWS).tolist()


# ---- batches and shapes ----------------------------------------------------------------------------------------------


def test_a_model_of_one_row_runs_batches_of_any_size(models: Models) -> None:
    models.write([1, 4], negative)
    models.config(X + Y, max_batch_size=8)
    with models.load() as model:
        both = model.batch([{"x": ROWS}, {"x": ROWS[:1]}])
        assert [each["y"].tolist() for each in both] == [(-ROWS).tolist(), (-ROWS[:1]).tolist()]  # type: ignore[index]


def test_smaller_batches_are_filled_up_where_the_size_is_to_be_fixed(models: Models) -> None:
    models.write([1, 4], negative)
    models.config(X + Y + parameter("SKIP_OV_DYNAMIC_BATCHSIZE", "YES"), max_batch_size=8)
    with models.load() as model:
        assert model._backend._fixed_batch == 8  # type: ignore[attr-defined]
        for count in (1, 4):
            rows = np.repeat(ROWS, count, axis=0)
            assert model.infer({"x": rows})["y"].tolist() == (-rows).tolist()


def test_a_batch_that_is_built_into_the_model_is_filled_up_and_any_other_size_is_refused(models: Models) -> None:
    def built_in(ops: Any, x: Any) -> Any:
        return ops.add(x, np.ones((8, 4), np.float32))

    models.write([8, 4], built_in)
    models.config(X + Y, max_batch_size=8)
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (ROWS + 1).tolist()
    models.config(X + Y, max_batch_size=4)
    assert "openvino error in setting shapes : " in str(models.refused())


def test_the_model_gets_the_configs_shapes_where_it_says_so(models: Models) -> None:
    models.write([1, 4], negative)
    wide = tensors("input", x=("FP32", "-1, 6")) + tensors("output", y=("FP32", "-1, 6"))
    models.config(wide)
    assert "the model expects 2 dimensions (shape [1,4]) but the model configuration" in str(models.refused())
    models.config(wide + parameter("RESHAPE_IO_LAYERS", "yes"))
    with models.load() as model:
        assert model.infer({"x": np.ones((3, 6), np.float32)})["y"].tolist() == (-np.ones((3, 6))).tolist()


# ---- datatypes -------------------------------------------------------------------------------------------------------


def test_inputs_and_outputs_are_converted_to_the_configs_datatypes(models: Models) -> None:
    models.write([-1, 4], negative)
    models.config(tensors("input", x=("INT64", "4")) + tensors("output", y=("FP16", "4")), max_batch_size=4)
    with models.load() as model:
        answer = model.infer({"x": ROWS.astype(np.int64)})["y"]
        assert (answer.dtype.name, answer.tolist()) == ("float16", (-ROWS).tolist())
    models.config(tensors("input", x=("STRING", "4")) + Y, max_batch_size=4)
    assert "unsupported datatype TYPE_STRING for input 'x' for model 'm'" in str(models.refused())


@pytest.mark.parametrize(
    "dtype", ["boolean", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f16", "bf16", "f64"]
)
def test_every_datatype_passes_unchanged(models: Models, dtype: str) -> None:
    from tis_workers.backends.openvino_model import DATATYPES

    models.write([-1], lambda ops, x: ops.squeeze(ops.unsqueeze(x, np.int64(0)), np.int64(0)), dtype)
    models.config()
    values = np.array([0, 1, 1]).astype(NUMPY[DATATYPES[dtype]])
    if dtype == "bf16":
        values = np.array([0x0000, 0x3F80, 0xC000], NUMPY["BF16"])
    with models.load() as model:
        assert model.spec.inputs[0].datatype == DATATYPES[dtype]
        assert model.infer({"x": values})["the same"].tolist() == values.tolist()


# ---- large answers ---------------------------------------------------------------------------------------------------


def test_large_answers_are_computed_in_place_and_never_change_afterwards(models: Models) -> None:
    models.write([1, 1], lambda ops, x: ops.add(x, np.zeros((1, 20_000), np.float32)))
    models.config(tensors("input", x=("FP32", "1")) + tensors("output", y=("FP32", "20000")), max_batch_size=4)
    with models.load() as model:
        backend: Any = model._backend
        answers = []
        for number, rows in enumerate([1, 1, 2, 1, 2, 1]):
            answers.append(model.infer({"x": np.full((rows, 1), number, np.float32)})["y"])
            assert len(backend._shapes) == (1 if number < 2 else 2)
        together = model.batch([{"x": np.full((1, 1), 7, np.float32)}, {"x": np.full((1, 1), 8, np.float32)}])
        assert [np.unique(each["y"]).tolist() for each in together] == [[7], [8]]  # type: ignore[index]
        assert [np.unique(answer).tolist() for answer in answers] == [[0], [1], [2], [3], [4], [5]]
        assert [answer.shape[0] for answer in answers] == [1, 1, 2, 1, 2, 1]


def test_shapes_that_depend_on_the_data_are_not_foreseen(models: Models) -> None:
    models.write([-1], lambda ops, x: ops.convert(ops.non_zero(x), "f32"))
    models.config()
    with models.load() as model:
        for count in (30_000, 20_000):
            values = np.zeros(40_000, np.float32)
            values[:count] = 1
            assert model.infer({"x": values})["the same"].shape == (1, count)


def test_a_model_goes_on_while_its_file_is_written_over(models: Models) -> None:
    table = np.arange(50_000, dtype=np.float32).reshape(-1, 1)
    models.write([-1], lambda ops, x: ops.gather(ops.constant(table), x, ops.constant(0)), "i32")
    models.config()
    with models.load() as model:
        models.file("model.bin").write_bytes(b"")
        assert model.infer({"x": np.array([7, 49_999], np.int32)})["the same"].tolist() == [[7], [49_999]]


# ---- other files, and refusals ---------------------------------------------------------------------------------------


def test_an_onnx_file_is_read_where_the_config_names_it(models: Models, tmp_path: Path) -> None:
    add_constant(3).write_version(tmp_path, "m", 1)
    models.config('default_model_filename: "model.onnx"\n')
    with models.load() as model:
        assert model.infer({"INPUT0": np.ones((2, 4), np.int32)})["OUTPUT0"].tolist() == [[4] * 4] * 2


def test_what_cannot_be_served_is_refused_with_the_reason(models: Models) -> None:
    models.write([-1, 4], negative)
    models.config(X + Y + parameter("TARGET_DEVICE", "quantum"), max_batch_size=4)
    assert "(device QUANTUM; OpenVINO has: CPU" in str(models.refused())
    models.config(X + Y + parameter("CPU_EXTENSION_PATH", "/no/such.so"), max_batch_size=4)
    assert "openvino error in loading custom CPU extensions : " in str(models.refused())
    models.config(X + Y, max_batch_size=4, group="instance_group [ { kind: KIND_MODEL } ]\n")
    assert "Triton OpenVINO backend supports only Kind CPU and AUTO" in str(models.refused())
    models.file().unlink()
    models.config(X + Y)
    assert models.refused().code is Code.NOT_FOUND


def test_a_request_without_an_input_that_the_config_calls_optional_is_refused(models: Models) -> None:
    models.write([-1, 4], negative)
    given = 'input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] optional: true } ]\n'
    models.config(given + tensors("output", y=("FP32", "-1, 4")))
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (-ROWS).tolist()
        with pytest.raises(ModelError, match="missing: 'x'"):
            model.infer({})
