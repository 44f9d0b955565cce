"""An output as classes: the largest values of each item with their index and label, printed as Triton prints them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tis.contracts.arrays import NUMPY, decode_bytes
from tis.contracts.inference import Answer, OutputTensor
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.classification import classify, read_labels
from tis_frontend.model_table import ServedModel


def classes(
    values: Any, count: int, datatype: str = "FP32", *, max_batch_size: int = 0, model_path: str = "", label: str = ""
) -> tuple[tuple[int, ...], list[str]]:
    array = np.array(values, NUMPY[datatype])
    output = TensorSpec("Y", datatype, array.shape[1:] if max_batch_size else array.shape, label_filename=label)
    spec = ModelSpec("m", 1, "", "", max_batch_size, (), (output,), model_path=model_path)
    answer = Answer([OutputTensor("Y", datatype, array.shape, memoryview(array.tobytes()))])
    classify(ServedModel(spec, ready=True), answer, {"Y": count})
    [tensor] = answer.outputs
    assert (tensor.name, tensor.datatype) == ("Y", "BYTES")
    return tensor.shape, [text.decode() for text in decode_bytes(tensor.data, (-1,)).tolist()]


def test_each_item_of_a_batch_has_its_own_classes() -> None:
    found = classes([[1, 2, 3, 4], [4, 3, 2.5, 1]], 2, max_batch_size=4)
    assert found == ((2, 2), ["4.000000:3", "3.000000:2", "4.000000:0", "3.000000:1"])


def test_without_batching_the_whole_tensor_is_one_item() -> None:
    assert classes([[-3, 5], [2, 1]], 3, "INT8") == ((3,), ["5:1", "2:2", "1:3"])


def test_no_more_classes_are_given_than_there_are_elements() -> None:
    assert classes([1, 2], 10**12) == ((2,), ["2.000000:1", "1.000000:0"])
    assert classes([], 3) == ((0,), [])
    assert classes(np.zeros((0, 4)), 2, max_batch_size=4) == ((0, 0), [])


def test_of_equal_values_the_first_comes_first() -> None:
    assert classes([1, 2, 2, 1], 4)[1] == ["2.000000:1", "2.000000:2", "1.000000:0", "1.000000:3"]


@pytest.mark.parametrize(
    ("datatype", "value", "text"),
    [
        ("FP32", 1e38, "99999996802856924650656260769173209088.000000:0"),
        ("FP32", -0.0, "-0.000000:0"),
        ("FP64", 0.1, "0.100000:0"),
        ("FP32", float("nan"), "nan:0"),
        ("FP32", float("-inf"), "-inf:0"),
        ("INT64", -(2**63), "-9223372036854775808:0"),
        ("UINT64", 2**64 - 1, "18446744073709551615:0"),
    ],
)
def test_values_have_six_decimals_or_none(datatype: str, value: float, text: str) -> None:
    assert classes([value], 1, datatype)[1] == [text]


def test_labels_follow_the_index_where_the_file_has_a_line_for_it(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\r\n\nfüchse\n")
    found = classes([4, 3, 2, 1, 0], 5, model_path=str(tmp_path), label="labels.txt")[1]
    assert found == ["4.000000:0:cat", "3.000000:1:dog", "2.000000:2", "1.000000:3:füchse", "0.000000:4"]


def test_labels_outside_of_the_models_directory_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    model = tmp_path / "m"
    model.mkdir()
    (model / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", str(tmp_path / "secret"), "link"):
        assert read_labels(str(model), name) == []


@pytest.mark.parametrize("datatype", ["BOOL", "FP16", "BF16", "BYTES"])
def test_what_has_no_order_is_refused(datatype: str) -> None:
    spec = ModelSpec("m", 1, "", "", 0, (), (TensorSpec("Y", datatype, (2,)),))
    answer = Answer([OutputTensor("Y", datatype, (2,), memoryview(b"\0\0\0\0"))])
    with pytest.raises(TisError) as caught:
        classify(ServedModel(spec, ready=True), answer, {"Y": 1})
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == f"class result not available for output due to unsupported type '{datatype}'"
