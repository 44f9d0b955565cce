"""PyTorch models made when the tests run, in a repository, loaded without a server."""

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest

from tests.harness.repository import one_cpu
from tis.errors import TisError
from tis.testing import LoadedModel, ModelError, load_model

ROWS: Final = np.arange(8, dtype=np.float32).reshape(2, 4)
_NUMBERS = itertools.count()


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

    def script(self, code: str, name: str = "m", **buffers: npt.NDArray[Any]) -> None:
        """TorchScript with a method `forward` of this code, and perhaps tensors that it keeps."""
        torch = self.torch

        def begin(module: Any) -> None:
            torch.jit.ScriptModule.__init__(module)
            for key, array in buffers.items():
                module.register_buffer(key, torch.from_numpy(array.copy()))

        # TorchScript knows a class by its name for good.
        module = type(f"Scripted{next(_NUMBERS)}", (torch.jit.ScriptModule,), {"__init__": begin})()
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
        error = caught.value
        assert isinstance(error, TisError | ModelError)
        return error


@pytest.fixture
def models(torch: Any, tmp_path: Path) -> Models:
    return Models(torch, tmp_path)
