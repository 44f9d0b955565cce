"""NVIDIA's clients with tensors that lie in clients' own shared memory."""

import inspect
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.harness.faces import Array

#: Inputs of the model `simple`.
LEFT = np.arange(16, dtype=np.int32).reshape(1, 16)
RIGHT = np.full((1, 16), 1000, np.int32)
TENSOR_BYTES = 64


class RegionClient:
    """One of NVIDIA's clients, with tensors that lie in regions."""

    def __init__(self, face: Any) -> None:
        self._face = face
        self._client: Any = self._face._client
        self._module: Any = tritonclient.http if "http" in type(self._client).__module__ else tritonclient.grpc

    def ask(self, method: str, *arguments: Any) -> Any:
        return self._face.ask(method, *arguments)

    def placed(self, name: str, shape: list[int], datatype: str, region: str, size_bytes: int, start: int = 0) -> Any:
        tensor = self._module.InferInput(name, shape, datatype)
        tensor.set_shared_memory(region, size_bytes, offset=start)
        return tensor

    def sent(self, name: str, array: Array, datatype: str) -> Any:
        tensor = self._module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        return tensor

    def wanted(self, name: str, region: str = "", size_bytes: int = 0, start: int = 0) -> Any:
        output = self._module.InferRequestedOutput(name)
        if region:
            output.set_shared_memory(region, size_bytes, offset=start)
        return output

    def infer(self, model: str, inputs: list[Any], outputs: list[Any] | None = None) -> Any:
        result = self._client.infer(model, inputs, outputs=outputs)
        return self._face._run(result) if inspect.isawaitable(result) else result

    def refusal(self, model: str, inputs: list[Any], outputs: list[Any] | None = None) -> str:
        with pytest.raises(InferenceServerException) as refused:
            self.infer(model, inputs, outputs)
        text: str = refused.value.message()
        return text

    def add_sub_inputs(self, region: str) -> list[Any]:
        """INPUT0 and INPUT1 one after the other at the begin of a region."""
        return [
            self.placed(f"INPUT{index}", [1, 16], "INT32", region, TENSOR_BYTES, index * TENSOR_BYTES)
            for index in range(2)
        ]

    def close(self) -> None:
        self._face.close()
