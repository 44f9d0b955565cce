"""Opens a SavedModel or a GraphDef in a TensorFlow session, and says which tensors of the graph its inputs and outputs are.

A session of TensorFlow 1's form, as Triton's backend has: it runs SavedModels of both generations, computes only the outputs
that are asked for, and its calls cost a tenth of those of `tf.saved_model.load`.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tis.contracts.model_spec import TensorSpec
from tis.errors import TisError, internal, invalid, not_found, unsupported
from tis.log import get_logger
from tis_workers.backends.base import LoadContext
from tis_workers.backends.tensorflow_options import Options

# What TensorFlow says of itself at its import is for those who write models.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow imports Keras for those who build models, or goes without. In a worker nobody builds any, and it starts in half
# the time. Other processes (tests of users) keep it: there, `import tensorflow.keras` must work.
_IS_WORKER: Final = getattr(sys.modules["__main__"].__spec__, "name", "") == "tis_workers.__main__"
if _IS_WORKER:
    sys.modules.setdefault("keras", None)  # type: ignore[arg-type]

try:
    import tensorflow as tf
    from tensorflow.core.protobuf.config_pb2 import CallableOptions
    from tensorflow.python.framework import op_def_registry
except ImportError as error:
    raise unsupported(
        "the model needs TensorFlow, which is not installed; install it with: pip install 'tis[tensorflow]' "
        "(or 'tis[tensorflow-gpu]' for NVIDIA GPUs)"
    ) from error
finally:
    if _IS_WORKER and sys.modules.get("keras", sys) is None:
        del sys.modules["keras"]

#: Protocol datatypes by TensorFlow's names.
DATATYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
#: numpy's form of BF16 as TensorFlow has it; elsewhere its bits are seen as uint16.
BF16: Final = np.dtype(tf.bfloat16.as_numpy_dtype)
_SAVED_MODEL: Final = "tensorflow_savedmodel"
_GRAPH_DEF: Final = "tensorflow_graphdef"
_SERVING: Final = "serving_default"
_INNER_SIGNATURES: Final = ("__saved_model_init_op", "__saved_model_train_op")

#: Shapes by name, None where nobody says them.
Shapes = dict[str, tuple[int, ...] | None]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """A tensor of the graph: its name there, its datatype, and its shape with -1 for any size; None: nobody says."""

    name: str
    datatype: str
    shape: tuple[int, ...] | None


@dataclass(slots=True)
class OpenModel:
    """A session with a graph that is ready to run."""

    session: Any
    graph: Any
    inputs: dict[str, GraphTensor] = field(default_factory=dict)
    outputs: dict[str, GraphTensor] = field(default_factory=dict)


def open_model(context: LoadContext, options: Options) -> OpenModel:
    """Read the model of an instance.

    Raises:
        TisError: NOT_FOUND without a file; INTERNAL with TensorFlow's text where it refuses the file; INVALID_ARG where file
            and config do not fit each other; UNSUPPORTED for a tensor that no protocol datatype stands for.
    """
    path, spec = context.model_file, context.spec
    if spec.platform not in (_SAVED_MODEL, _GRAPH_DEF):
        raise invalid(f"platform {spec.platform} not supported for TensorFlow model '{spec.name}'")
    if not path.exists():
        raise not_found(f"unable to find '{path}' for model '{spec.name}'")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    graph = tf.Graph()
    try:
        for library in options.libraries:
            tf.load_op_library(library)
        session = tf.compat.v1.Session(graph=graph, config=_session_config(context, options))
        model = OpenModel(session, graph)
        with graph.as_default(), _placed(context):
            if spec.platform == _SAVED_MODEL:
                _open_saved_model(model, context, options)
            else:
                _open_graph_def(model, context)
        for name in options.init_ops:
            session.run(graph.get_operation_by_name(name))
    except TisError:
        raise
    except Exception as error:
        raise internal(f"unable to load model '{spec.name}', tensorflow error: {said(error)}") from error
    return model


def said(error: Exception) -> str:
    """TensorFlow's text of an error, without its stack of the graph."""
    return str(getattr(error, "message", "") or error)


def is_stateful(operation: str) -> bool:
    """Whether TensorFlow calls an operation stateful; True for one that it does not know."""
    described = op_def_registry.get(operation)
    return described is None or bool(described.is_stateful)


def path_of(session: Any, feeds: Sequence[str], fetches: Sequence[str]) -> Callable[..., Any]:
    """What runs the graph for these tensors, given arrays for the first and giving those of the second."""
    wanted = CallableOptions(feed=feeds, fetch=fetches)
    # The public `make_callable` does the same, but every call of it costs ten times as much as a small model.
    path: Callable[..., Any] = session._make_callable_from_options(wanted)  # noqa: SLF001
    return path


def _session_config(context: LoadContext, options: Options) -> Any:
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=options.intra_op_threads,
        inter_op_parallelism_threads=options.inter_op_threads,
        use_per_session_threads=options.per_session_threads,
        allow_soft_placement=options.soft_placement,
    )
    if context.instance.kind == "CPU":
        config.device_count["GPU"] = 0
    config.gpu_options.allow_growth = not options.gpu_memory_fraction
    config.gpu_options.per_process_gpu_memory_fraction = options.gpu_memory_fraction
    if options.graph_level is not None:
        levels = tf.compat.v1.OptimizerOptions
        chosen = {-1: levels.OFF, 0: levels.DEFAULT, 1: levels.ON_1}.get(options.graph_level, levels.ON_2)
        config.graph_options.optimizer_options.global_jit_level = chosen
    if options.auto_mixed_precision:
        config.graph_options.rewrite_options.auto_mixed_precision = True
    return config


def _placed(context: LoadContext) -> Any:
    """What says where operations run that do not say so themselves; a worker sees one GPU only."""
    return tf.device("/gpu:0") if context.instance.kind == "GPU" else nullcontext()


# ---- SavedModel ------------------------------------------------------------------------------------------------------


def _open_saved_model(model: OpenModel, context: LoadContext, options: Options) -> None:
    meta = tf.compat.v1.saved_model.loader.load(model.session, [options.tag], str(context.model_file))
    signature = _signature(meta.signature_def, context.spec.name, options)
    for side, described, found in (
        ("input", signature.inputs, model.inputs),
        ("output", signature.outputs, model.outputs),
    ):
        for name in sorted(described):
            found[name] = _described(described[name], f"{side} '{name}' for '{context.spec.name}'")


def _signature(signatures: Mapping[str, Any], model_name: str, options: Options) -> Any:
    """The signature that the config names, else `serving_default`, else the first that is not for loading or training."""
    wanted = options.signature or _SERVING
    if wanted in signatures:
        return signatures[wanted]
    others = sorted(name for name in signatures if name not in _INNER_SIGNATURES)
    if options.signature or not others:
        raise invalid(f"unable to load model '{model_name}', expected '{wanted}' signature; the model has: {others}")
    _log.warning("model '%s' has no signature '%s'; '%s' is used", model_name, wanted, others[0])
    return signatures[others[0]]


def _described(info: Any, what: str) -> GraphTensor:
    """A tensor as a signature has it."""
    if not info.name:
        raise unsupported(f"unable to process {what}, which is no dense tensor")
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return GraphTensor(info.name, _datatype(tf.as_dtype(info.dtype), what), shape)


def _datatype(dtype: Any, what: str) -> str:
    datatype = DATATYPES.get(dtype.name)
    if datatype is None:
        raise unsupported(f"unable to process {what}, unsupported datatype '{dtype.name}'")
    return datatype


# ---- GraphDef --------------------------------------------------------------------------------------------------------


def _open_graph_def(model: OpenModel, context: LoadContext) -> None:
    name = context.spec.name
    graph_def = tf.compat.v1.GraphDef()
    graph_def.ParseFromString(context.model_file.read_bytes())
    if not graph_def.node:
        raise internal(f"model {name} has an empty network")
    if context.instance.kind != "MODEL":
        # Where the graph runs is for the instance group to say.
        for node in graph_def.node:
            if "cpu" not in node.device.lower():
                node.device = ""
    tf.import_graph_def(graph_def, name="")
    given, answered = configured(context)
    if not given or not answered:
        raise invalid(
            f"unable to load model '{name}': a GraphDef does not say what its inputs and outputs are; list both in the config"
        )
    inputs = {node.name for node in graph_def.node if node.op == "Placeholder"}
    outputs = {node.name for node in graph_def.node} - inputs
    if len(inputs) < len(given):
        raise invalid(
            f"unable to load model '{name}', configuration expects {len(given)} inputs, model provides at most {len(inputs)}"
        )
    for side, names, there, found in (
        ("input", given, inputs, model.inputs),
        ("output", answered, outputs, model.outputs),
    ):
        for each, shape in names.items():
            if each.partition(":")[0] not in there:
                allowed = ", ".join(sorted(there))
                raise invalid(f"unexpected inference {side} '{each}', allowed {side}s are: {allowed}; model '{name}'")
            tensor = model.graph.get_tensor_by_name(each if ":" in each else f"{each}:0")
            found[each] = GraphTensor(tensor.name, _datatype(tensor.dtype, f"{side} '{each}' for '{name}'"), shape)


def configured(context: LoadContext) -> tuple[Shapes, Shapes]:
    """Names of all inputs and outputs that the config gives the model, with their shapes where it says them."""
    spec = context.spec
    lead = (-1,) if spec.max_batch_size > 0 else ()
    given: Shapes = {each.name: _shape(each, lead) for each in spec.inputs}
    answered: Shapes = {each.name: _shape(each, lead) for each in spec.outputs}
    given.update({name: None for each in spec.batch_inputs for name in each.names})
    if spec.sequences is not None:
        given.update({control.name: (*lead, 1) for control in spec.sequences.controls})
        given.update({state.input_name: (*lead, *state.shape) for state in spec.sequences.states})
        answered.update({state.output_name: (*lead, *state.shape) for state in spec.sequences.states})
    return given, answered


def _shape(tensor: TensorSpec, lead: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that the model sees of a tensor of the config."""
    if tensor.allow_ragged_batch:
        return (-1,)
    return (*lead, *(tensor.shape if tensor.reshape is None else tensor.reshape))
