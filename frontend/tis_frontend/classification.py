"""The classification extension: an output as its largest values, each with its index and label, instead of as a tensor.

Both faces use it between an answer and its rendering: `classify` puts BYTES outputs in place of the tensors.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY, encode_bytes
from tis.contracts.datatypes import ELEMENT_BYTES
from tis.contracts.inference import Answer, OutputTensor
from tis.errors import invalid
from tis.log import get_logger
from tis_frontend.model_table import ServedModel

#: Elements of an item beyond which its classes are not looked for.
_MOST_ELEMENTS: Final = 1_000_000
_UNSUPPORTED: Final = frozenset({"BOOL", "FP16", "BF16", "BYTES"})

_log = get_logger(__name__)


def classify(model: ServedModel, answer: Answer, classes: dict[str, int]) -> None:
    """Replace the named outputs of an answer by that many of their largest classes.

    Raises:
        TisError: INVALID_ARG for an output whose elements have no order.
    """
    for position, tensor in enumerate(answer.outputs):
        count = classes.get(tensor.name, 0)
        if count:
            answer.outputs[position] = _classified(
                tensor, count, _labels(model, tensor.name), model.spec.max_batch_size
            )


def _classified(tensor: OutputTensor, count: int, labels: list[str], max_batch_size: int) -> OutputTensor:
    datatype = tensor.datatype
    if datatype in _UNSUPPORTED or datatype not in ELEMENT_BYTES:
        raise invalid(f"class result not available for output due to unsupported type '{datatype}'")
    values = np.frombuffer(tensor.data, NUMPY[datatype])
    batched = max_batch_size > 0 and len(tensor.shape) > 0
    items = tensor.shape[0] if batched else 1
    rows = values.reshape(items, -1) if items else values.reshape(0, 0)
    if rows.shape[1] > _MOST_ELEMENTS:
        raise invalid(
            f"class result not available for output '{tensor.name}': it has {rows.shape[1]} elements, at most "
            f"{_MOST_ELEMENTS} are classified"
        )
    count = min(count, rows.shape[1])
    texts = np.array([text for row in rows for text in _largest(row, count, labels)], dtype=np.object_)
    return OutputTensor(tensor.name, "BYTES", (items, count) if batched else (count,), memoryview(encode_bytes(texts)))


def _largest(row: "npt.NDArray[Any]", count: int, labels: list[str]) -> list[bytes]:
    """The largest values of one item, `<value>:<index>[:<label>]`; of equal ones the first comes first."""
    last = len(row) - 1
    order = last - np.argsort(row[::-1], kind="stable")[::-1][:count]
    texts: list[bytes] = []
    for index in order.tolist():
        value = row[index].item()
        text = f"{value:f}:{index}" if isinstance(value, float) else f"{value}:{index}"
        if index < len(labels) and labels[index]:
            text += f":{labels[index]}"
        texts.append(text.encode("utf-8", "surrogateescape"))
    return texts


def _labels(model: ServedModel, output: str) -> list[str]:
    """Labels of an output, read once; none where the config names no file."""
    key = ("labels", output)
    labels: list[str] | None = model.remembered.get(key)
    if labels is None:
        spec = model.spec.outputs_by_name.get(output)
        labels = model.remembered[key] = (
            read_labels(spec.label_folder or model.spec.model_path, spec.label_filename) if spec else []
        )
    return labels


def read_labels(model_path: str, filename: str) -> list[str]:
    """The lines of a label file in a model's directory; a file that has gone since the load has no labels."""
    if not filename:
        return []
    directory = Path(model_path).resolve()
    path = (directory / filename).resolve()
    try:
        if not path.is_relative_to(directory):
            raise PermissionError("it lies outside of the model's directory")
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        _log.error("labels of '%s' in %s cannot be read: %s", filename, model_path, error)
        return []
    return [line.removesuffix("\r") for line in text.split("\n")]
