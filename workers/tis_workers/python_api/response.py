"""`InferenceResponse`: what a model answers, outputs or an error."""

import json
from collections.abc import Iterable
from typing import Any

from tis_workers.python_api.errors import TritonError
from tis_workers.python_api.parameters import checked
from tis_workers.python_api.tensor import Tensor


class InferenceResponse:
    """A response to a request. With an error its outputs are ignored."""

    __slots__ = ("_error", "_output_tensors", "_parameters")

    def __init__(
        self, output_tensors: Iterable[Tensor] = (), error: TritonError | None = None, parameters: Any = None
    ) -> None:
        self._output_tensors = _tensors(output_tensors)
        if error is not None and not isinstance(error, TritonError):
            raise TypeError(f"the error of an InferenceResponse is a TritonError or None; got {error!r}")
        self._error = error
        self._parameters = checked(parameters) if parameters is not None else None

    def output_tensors(self) -> list[Tensor]:
        """The outputs."""
        return self._output_tensors

    def has_error(self) -> bool:
        """Whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """The error, if it is one."""
        return self._error

    def parameters(self) -> str:
        """Its parameters as JSON text. Triton has them from 2.52 on."""
        return json.dumps(self._parameters or {})

    def own_parameters(self) -> dict[str, str | int | bool | float] | None:
        """Its parameters, for the server."""
        return self._parameters


# Errors name the class, and Triton's has this module.
InferenceResponse.__module__ = "c_python_backend_utils"


def _tensors(given: Iterable[Tensor]) -> list[Tensor]:
    if isinstance(given, list | tuple):
        tensors = list(given)
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                break
        else:
            return tensors
    raise TypeError(f"the output_tensors of an InferenceResponse are a list of Tensor objects; got {given!r}")
