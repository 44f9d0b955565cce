"""The example in docs/backends.md is a backend."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tis_workers.backends
from tis.contracts.model_spec import InstanceSpec, ModelSpec, TensorSignature
from tis.errors import Code, TisError
from tis_workers.backends import load_backend
from tis_workers.backends.base import LoadContext, TensorBackend

DOCUMENT = Path(__file__).parents[3] / "docs" / "backends.md"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadContext]:
    """A model of the backend, which lies in a folder beside the server's own."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "matrix_backend.py").write_text(code)
    monkeypatch.setattr(tis_workers.backends, "__path__", [*tis_workers.backends.__path__, str(tmp_path)])
    (tmp_path / "m" / "1").mkdir(parents=True)
    instance = InstanceSpec("m_0", "CPU")
    spec = ModelSpec("m", 1, "", "matrix", 0, (), (), model_path=str(tmp_path / "m"), filename="model.npy")
    yield LoadContext(spec, instance, threads=1)
    sys.modules.pop("tis_workers.backends.matrix_backend", None)


def test_the_example_of_the_document_is_found_by_its_name_and_answers(context: LoadContext) -> None:
    with pytest.raises(TisError) as caught:
        load_backend(context)
    assert caught.value.code is Code.NOT_FOUND
    np.save(context.model_file, np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    backend = load_backend(context)
    assert isinstance(backend, TensorBackend)
    signature = backend.signature()
    assert signature is not None
    assert signature.inputs == (TensorSignature("INPUT", "FP32", (-1, 3)),)
    rows = np.ones((2, 3), np.float32)
    assert backend.run({"INPUT": rows}, ["OUTPUT"])["OUTPUT"].tolist() == [[9, 12], [9, 12]]
