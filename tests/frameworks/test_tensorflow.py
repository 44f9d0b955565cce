"""What TensorFlow models may be and what their configs may say; loaded without a server."""

import json
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.native_models import parameter, tensors
from tests.harness.repository import one_cpu
from tis.contracts.arrays import NUMPY
from tis.errors import Code
from tis.testing import LoadedModel, ModelError, load_model

if find_spec("tensorflow") is None:
    pytest.skip("'tensorflow' is not installed: pip install 'tis[tensorflow]'", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
X = tensors("input", x=("FP32", "4"))
Y = tensors("output", y=("FP32", "4"))


@pytest.fixture(scope="module")
def tf() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow

        yield tensorflow


class Models:
    """Puts TensorFlow models into a repository and loads them."""

    def __init__(self, tf: Any, folder: Path) -> None:
        self.tf = tf
        self.folder = folder

    def file(self, filename: str) -> Path:
        path = self.folder / "m" / "1" / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def saved(self, **signatures: Any) -> None:
        """A SavedModel with these signatures, each a function and the tensors that it takes."""
        module = self.tf.Module()
        # Values that the functions close over live as long as the module.
        module.kept = [function for function, _ in signatures.values()]
        made = {
            name: self.tf.function(function, input_signature=specs) for name, (function, specs) in signatures.items()
        }
        self.save(module, made)

    def save(self, module: Any, signatures: Any) -> None:
        for name, function in signatures.items():
            setattr(module, f"function_{name}", function)
        self.tf.saved_model.save(module, str(self.file("model.savedmodel")), signatures=signatures)

    def graph(self, build: Any) -> None:
        """A GraphDef of what a function puts into a graph."""
        graph = self.tf.Graph()
        with graph.as_default():
            build(self.tf.compat.v1)
        self.file("model.graphdef").write_bytes(graph.as_graph_def().SerializeToString())

    def config(self, text: str = "", max_batch_size: int = 0) -> None:
        (self.folder / "m").mkdir(exist_ok=True)
        (self.folder / "m" / "config.pbtxt").write_text(
            f'backend: "tensorflow"\nmax_batch_size: {max_batch_size}\n{text}{one_cpu()}'
        )

    def load(self) -> LoadedModel:
        return load_model(self.folder / "m")

    def refused(self) -> ModelError:
        with pytest.raises(ModelError) as caught:
            self.load()
        return caught.value


@pytest.fixture
def models(tf: Any, tmp_path: Path) -> Models:
    return Models(tf, tmp_path)


def spec(tf: Any, shape: Any, dtype: str = "float32", name: str = "x") -> Any:
    return tf.TensorSpec(shape, getattr(tf, dtype), name=name)


# ---- SavedModels -----------------------------------------------------------------------------------------------------


def test_the_signature_is_serving_default_unless_the_config_names_another(tf: Any, models: Models) -> None:
    both = {"serving_default": 1.0, "other": 2.0}
    given = {name: (lambda x, add=add: {"y": x + add}, [spec(tf, [None, 4])]) for name, add in both.items()}
    models.saved(**given)
    models.config()
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (ROWS + 1).tolist()
    models.config(parameter("TF_SIGNATURE_DEF", "other"))
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (ROWS + 2).tolist()
    models.config(parameter("TF_SIGNATURE_DEF", "third"))
    assert "expected 'third' signature; the model has: ['other', 'serving_default']" in str(models.refused())
    models.config(parameter("TF_GRAPH_TAG", "train"))
    assert "tags 'train' could not be found" in str(models.refused())


def test_the_only_signature_is_taken_whatever_it_is_called(tf: Any, models: Models) -> None:
    models.saved(mine=(lambda x: {"y": -x}, [spec(tf, [None, 4])]))
    models.config()
    with models.load() as model:
        assert model.spec.max_batch_size == 4
        assert model.infer({"x": ROWS})["y"].tolist() == (-ROWS).tolist()


def test_every_datatype_passes_unchanged(tf: Any, models: Models) -> None:
    from tis_workers.backends.tensorflow_model import DATATYPES

    names = list(DATATYPES)
    specs = [spec(tf, [None], name, name) for name in names]
    models.saved(
        serving_default=(
            lambda *given: {f"{name}_out": tf.identity(x) for name, x in zip(names, given, strict=True)},
            specs,
        )
    )
    models.config()
    inputs = {
        name: np.array([b"a", b"\xff", b""], np.object_)
        if datatype == "BYTES"
        else np.array([0, 1, 1]).astype(NUMPY[datatype])
        for name, datatype in DATATYPES.items()
    }
    with models.load() as model:
        assert {tensor.name: tensor.datatype for tensor in model.spec.inputs} == DATATYPES
        # A first dimension that varies counts rows, of one element each.
        answer = model.infer({name: array.reshape(3, 1) for name, array in inputs.items()})
    for name, array in inputs.items():
        assert answer[f"{name}_out"].tolist() == array.reshape(3, 1).tolist(), name


def test_scalars_are_one_element_and_an_unknown_rank_is_the_configs(tf: Any, models: Models) -> None:
    specs = [spec(tf, [], name="factor"), spec(tf, None, name="x")]
    models.saved(serving_default=(lambda factor, x: {"y": factor * x}, specs))
    models.config()
    assert "the rank of model tensor 'x' is not known" in str(models.refused())
    models.config(tensors("input", factor=("FP32", "1"), x=("FP32", "2, 2")) + tensors("output", y=("FP32", "2, 2")))
    with models.load() as model:
        answer = model.infer({"factor": np.array([3], np.float32), "x": np.ones((2, 2), np.float32)})
    assert answer["y"].tolist() == [[3, 3], [3, 3]]


def test_only_the_outputs_that_are_asked_for_are_computed(models: Models) -> None:
    models.graph(_two_ways)
    named = tensors("output", same=("FP32", "4"), checked=("FP32", "4"))
    models.config('platform: "tensorflow_graphdef"\n' + X + named, max_batch_size=8)
    with models.load() as model:
        assert model.infer({"x": -ROWS}, outputs=["same"])["same"].tolist() == (-ROWS).tolist()
        with pytest.raises(ModelError, match=r"tensorflow error: .*below 0") as caught:
            model.infer({"x": -ROWS})
        assert caught.value.code is Code.INTERNAL
        assert model.infer({"x": ROWS})["checked"].tolist() == ROWS.tolist()


def _two_ways(v1: Any) -> None:
    x = v1.placeholder(v1.float32, [None, 4], name="x")
    v1.add(x, 0.0, name="same")
    with v1.control_dependencies([v1.Assert(v1.reduce_all(x >= 0), ["below 0"])]):
        v1.identity(x, name="checked")


def test_a_model_with_a_memory_keeps_a_copy_and_a_plain_one_is_fed_the_pools_memory(tf: Any, models: Models) -> None:
    module = tf.Module()
    module.last = tf.Variable(tf.zeros([1, 4]), shape=tf.TensorShape([None, 4]))

    def remembered(x: Any) -> Any:
        before = module.last.read_value()
        with tf.control_dependencies([before]):
            module.last.assign(x)
        return {"y": tf.identity(before)}

    taken = [spec(tf, [None, 4])]
    made = {"serving_default": remembered, "plain": lambda x: {"y": module.last + x}}
    models.save(module, {name: tf.function(each, input_signature=taken) for name, each in made.items()})
    models.config()
    # Aligned as blocks of the pool are: TensorFlow copies other arrays anyway.
    memory = np.zeros(256, np.uint8)
    at = -memory.ctypes.data % 64
    block = memory[at : at + ROWS.nbytes].view(np.float32).reshape(ROWS.shape)
    with models.load() as model:
        block[:] = ROWS
        model._backend.run({"x": block}, ["y"])  # type: ignore[attr-defined]
        # The next request has the same block.
        block[:] = 7
        (before,) = model._backend.run({"x": block}, ["y"]).values()  # type: ignore[attr-defined]
        assert before.tolist() == ROWS.tolist()
    models.config(parameter("TF_SIGNATURE_DEF", "plain"))
    with models.load() as model:
        assert not model._backend._copies  # type: ignore[attr-defined]


def test_ragged_rows_of_several_requests_run_together(tf: Any, models: Models) -> None:
    def sums(x: Any, ends: Any) -> Any:
        totals = tf.gather(tf.concat([[0.0], tf.cumsum(x)], 0), tf.concat([[0], ends], 0))
        return {"y": tf.expand_dims(totals[1:] - totals[:-1], 1)}

    models.saved(serving_default=(sums, [spec(tf, [None]), spec(tf, [None], "int32", "ends")]))
    models.config(
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]\n'
        'batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_INT32 '
        'source_input: "x" } ]\n' + tensors("output", y=("FP32", "1")),
        max_batch_size=8,
    )
    with models.load() as model:
        both = model.batch([{"x": np.ones((1, 3), np.float32)}, {"x": np.ones((1, 5), np.float32)}])
        assert [each["y"].tolist() for each in both] == [[[3]], [[5]]]  # type: ignore[index]


# ---- GraphDefs -------------------------------------------------------------------------------------------------------


def _line(v1: Any) -> None:
    x = v1.placeholder(v1.float32, [None, 4], name="x")
    start = v1.get_variable("start", initializer=v1.constant(5.0))
    v1.add(2.0 * x, start.read_value(), name="y")
    v1.global_variables_initializer()


def test_a_graphdef_runs_between_the_nodes_that_the_config_names(models: Models) -> None:
    def build(v1: Any) -> None:
        v1.add(v1.placeholder(v1.float32, name="x"), 1.0, name="y")

    models.graph(build)
    models.config(X + Y, max_batch_size=8)
    with models.load() as model:
        assert model.spec.platform == "tensorflow_graphdef"
        both = model.batch([{"x": ROWS}, {"x": ROWS[:1]}])
        assert [answer["y"].tolist() for answer in both] == [(ROWS + 1).tolist(), (ROWS[:1] + 1).tolist()]  # type: ignore[index]


def test_operations_of_a_file_run_before_the_first_request(models: Models) -> None:
    models.graph(_line)
    models.config(X + Y + parameter("TF_INIT_OPS_FILE", "init_ops.json"), max_batch_size=8)
    models.file("init_ops.json").write_text(json.dumps({"init_ops": ["init"]}))
    with models.load() as model:
        assert model.infer({"x": ROWS})["y"].tolist() == (2 * ROWS + 5).tolist()


def test_a_sequence_has_its_controls_and_its_state(models: Models) -> None:
    def build(v1: Any) -> None:
        x, start = v1.placeholder(v1.float32, [None, 1], name="x"), v1.placeholder(v1.float32, [None, 1], name="start")
        v1.add(x, v1.placeholder(v1.float32, [None, 1], name="before"), name="after")
        v1.add(10.0 * start, v1.get_default_graph().get_tensor_by_name("after:0"), name="y")

    models.graph(build)
    models.config(
        tensors("input", x=("FP32", "1"))
        + tensors("output", y=("FP32", "1"))
        + """sequence_batching {
            control_input { name: "start" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
            state { input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: [ 1 ] }
        }
        """,
        max_batch_size=8,
    )
    one = {"x": np.ones((1, 1), np.float32)}
    with models.load() as model:
        found = [model.infer(one, sequence_id=5, sequence_start=at == 0)["y"].item() for at in range(3)]
    assert found == [11, 2, 3]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "a GraphDef does not say what its inputs and outputs are; list both in the config"),
        (tensors("input", z=("FP32", "4")) + Y, "unexpected inference input 'z', allowed inputs are: x"),
        (X + tensors("output", z=("FP32", "4")), "unexpected inference output 'z', allowed outputs are: "),
        (tensors("input", x=("FP32", "4"), z=("FP32", "4")) + Y, "expects 2 inputs, model provides at most 1"),
        (tensors("input", x=("INT64", "4")) + Y, "expects datatype TYPE_INT64 for input 'x', model provides TYPE_FP32"),
        (X + tensors("output", y=("FP64", "4")), "expects datatype TYPE_FP64 for output 'y', model provides TYPE_FP32"),
    ],
)
def test_a_config_that_does_not_fit_a_graphdef_is_refused(models: Models, config: str, words: str) -> None:
    models.graph(_line)
    models.config(config, max_batch_size=8)
    assert words in str(models.refused())


def test_files_that_are_no_graph_are_refused_with_the_reason(models: Models) -> None:
    models.config('platform: "tensorflow_graphdef"\n' + X + Y)
    models.file("model.graphdef").write_bytes(b"no graph")
    assert "unable to load model 'm', tensorflow error: " in str(models.refused())
    models.file("model.graphdef").write_bytes(b"")
    assert "model m has an empty network" in str(models.refused())
    models.file("model.graphdef").unlink()
    refused = models.refused()
    assert (refused.code, "unable to find" in str(refused)) == (Code.NOT_FOUND, True)


def test_a_library_of_operations_that_is_not_there_is_refused(models: Models) -> None:
    models.graph(_line)
    models.config(X + Y + 'model_operations { op_library_filename: [ "/no/such.so" ] }\n')
    assert re.search("unable to load model 'm', tensorflow error: .*such.so", str(models.refused()))


# ---- GPUs ------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_an_instance_on_a_gpu_runs_there(tf: Any, models: Models) -> None:
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees no GPU: it needs one, and pip install 'tis[tensorflow-gpu]'")
    models.saved(serving_default=(lambda x: {"y": tf.matmul(x, tf.transpose(x))}, [spec(tf, [None, 4])]))
    (models.folder / "m" / "config.pbtxt").write_text("instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]\n")
    with models.load() as model:
        operations = model._backend._model.graph.get_operations()  # type: ignore[attr-defined]
        assert any("GPU:0" in operation.device for operation in operations)
        np.testing.assert_allclose(model.infer({"x": ROWS})["y"], ROWS @ ROWS.T)
