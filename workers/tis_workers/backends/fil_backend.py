"""Forests of decision trees (`fil`): XGBoost, LightGBM and Treelite's checkpoints, on Treelite's GTIL; on GPUs nvForest.

Parameters are in `fil_options.py`, files in `fil_files.py`. The input is `input__0`, the output `output__0`, both FP32, as in
Triton's FIL backend, with the same rules for what the output holds.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import internal, unsupported
from tis_workers.backends.base import Arrays, LoadContext, TensorBackend

# Read when the library is loaded: its threads must not spin between two predictions, since others want the core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
try:
    import treelite
except ImportError as error:
    raise unsupported(
        "the model needs Treelite, which is not installed; install it with: pip install 'tis[fil]' (or 'tis[fil-gpu]' "
        "for NVIDIA GPUs)"
    ) from error

from tis_workers.backends.fil_files import load_forest, told
from tis_workers.backends.fil_options import FilOptions, fil_options

INPUT: Final = "input__0"
OUTPUT: Final = "output__0"
_SHAPLEY: Final = "treeshap_output"
#: Treelite's numbers of tasks whose answers are classes.
_CLASSIFIERS: Final = (0, 2)

#: Below so many trees times rows a second thread costs more than it saves: about half a millisecond of work.
_SHARED_FROM: Final = 4096

#: From rows of features to rows of values, one for each class or a single one.
Predict = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def load(context: LoadContext) -> "FilBackend":
    """Load the model file of an instance.

    Raises:
        TisError: as `load_forest` says; UNSUPPORTED for several targets, Shapley values, and a GPU without nvForest.
    """
    return FilBackend(context)


class FilBackend(TensorBackend):
    """One forest."""

    def __init__(self, context: LoadContext) -> None:
        spec = context.spec
        if any(output.name == _SHAPLEY for output in spec.outputs):
            raise unsupported(
                f"unable to load model '{spec.name}': output '{_SHAPLEY}': Shapley values are not computed here"
            )
        self._options = fil_options(spec.name, spec.parameters)
        forest = load_forest(context, self._options)
        header = forest.get_header_accessor()
        targets = int(header.get_field("num_target")[0])
        if targets != 1:
            raise unsupported(f"unable to load model '{spec.name}': Multi-target model not supported; it has {targets}")
        self._features = int(forest.num_feature)
        #: Values that a prediction gives for each row.
        self._width = int(header.get_field("num_class")[0])
        self._says_class, self._says_both = self._said(context, int(header.get_field("task_type")[0]))
        self._on_cpu: Predict = _on_cpu(forest, self._options.threads, context.threads)
        on_gpu = context.instance.kind == "GPU"
        self._on_gpu: Predict | None = _on_gpu(forest, self._options) if on_gpu else None

    def signature(self) -> ModelSignature:
        """Features in; out, by the parameters, a class, or a value for each class."""
        columns = 1 if self._says_class else 2 if self._says_both else self._width
        return ModelSignature(
            (TensorSignature(INPUT, "FP32", (-1, self._features)),), (TensorSignature(OUTPUT, "FP32", (-1, columns)),)
        )

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """One prediction."""
        rows = inputs[INPUT]
        few = self._on_gpu is None or len(rows) <= self._options.transfer_threshold
        predict = self._on_cpu if self._on_gpu is None or few else self._on_gpu
        try:
            values = predict(rows)
        except Exception as error:
            raise internal(f"unable to predict: {told(error)}") from error
        return {name: self._said_of(values.reshape(len(rows), self._width)) for name in outputs}

    def _said_of(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._says_class:
            one = values.argmax(axis=1) if self._width > 1 else values[:, 0] > self._options.threshold
            return one.astype(np.float32).reshape(-1, 1)
        values = values.astype(np.float32, copy=False)
        return np.hstack([1 - values, values]) if self._says_both else values

    def _said(self, context: LoadContext, task: int) -> tuple[bool, bool]:
        """Whether answers are classes, and whether they are the probabilities of both of two classes.

        Two classes have a single value, the second's probability, unless the config's output has room for both.
        """
        chosen = self._options.is_classifier
        classifies = task in _CLASSIFIERS if chosen is None else chosen
        output = context.spec.outputs_by_name.get(OUTPUT)
        dims = () if output is None else output.shape if output.reshape is None else output.reshape
        both = classifies and self._options.predict_proba and self._width == 1 and dims[-1:] == (2,)
        return classifies and not self._options.predict_proba, both


def _on_cpu(forest: "treelite.Model", chosen: int, share: int) -> Predict:
    """The forest on the CPU, with the threads that the config chose or else, for as much work as is worth it, a share."""
    trees = forest.num_tree

    def predict(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        threads = chosen or (share if trees * len(rows) >= _SHARED_FROM else 1)
        values: npt.NDArray[Any] = treelite.gtil.predict(forest, rows, nthread=threads)
        return values

    return predict


def _on_gpu(forest: "treelite.Model", options: FilOptions) -> Predict:
    """The forest on the one GPU that this process sees."""
    try:
        import nvforest
    except ImportError as error:
        raise unsupported(
            "a KIND_GPU instance needs nvForest, which is not installed; install it with: pip install 'tis[fil-gpu]', or "
            "use KIND_CPU"
        ) from error
    try:
        loaded = nvforest.load_from_treelite_model(
            forest,
            device="gpu",
            device_id=0,
            layout=options.layout,
            default_chunk_size=options.chunk_size or None,
            precision="single",
        )
    except Exception as error:
        raise internal(f"nvForest cannot load the model: {error}") from error
    ask = loaded.predict_proba if loaded.is_classifier else loaded.predict

    def predict(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # What the library gives lies on the GPU; the copy waits for the computation.
        values: npt.NDArray[Any] = ask(rows).get()
        return values

    return predict
