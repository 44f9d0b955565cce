"""A declared function (`@tis.model`) as a model of the Python backend: what its author would write into TritonPythonModel.

One call for all requests of a batch that have the same inputs in the same shapes. If that fails, each runs alone, so that
only the culprit fails. Every answer is checked against the declaration: what a client was promised is what it gets.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.functions import Declaration, Tensor
from tis.functions.config import dynamic_batching, input_configs, instance_groups, output_configs
from tis.functions.file import declarations_in
from tis.log import get_logger
from tis_workers.python_api.errors import TritonError, described
from tis_workers.python_api.model_config import ModelConfig
from tis_workers.python_api.request import InferenceRequest
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.tensor import Tensor as ApiTensor

Array = npt.NDArray[Any]

_FINAL: Final = 1

_log = get_logger(__name__)


class MisfitError(Exception):
    """What a function gave is not what it declares."""


def function_model_in(module: ModuleType, model: str) -> "type[FunctionModel] | None":
    """The class for the declared function of a model's module: the only one, or that of the model's name.

    Raises:
        DeclarationError: two are called the same.
        LookupError: several, none of which is called so.
    """
    found = declarations_in(module)
    if not found:
        return None
    if len(found) > 1 and model not in found:
        raise LookupError(
            f"model '{model}' has the functions {', '.join(found)} in its module, none of which is called so"
        )
    declared = found[model] if len(found) > 1 else next(iter(found.values()))
    return type("TritonPythonModel", (FunctionModel,), {"declared": declared})


class FunctionModel:
    """The model class of a declared function."""

    declared: ClassVar[Declaration]

    @classmethod
    def auto_complete_config(cls, config: ModelConfig) -> ModelConfig:
        """What the declaration says; a config that says otherwise is refused."""
        declared, written = cls.declared, config.as_dict()
        size = declared.batching.max_size if declared.batching is not None else 0
        if not (size and written["max_batch_size"]):
            config.set_max_batch_size(size)
        for each in input_configs(declared):
            config.add_input(each)
        for each in output_configs(declared):
            config.add_output(each)
        if declared.batching is not None and not {"sequence_batching", "dynamic_batching"} & written.keys():
            config.set_dynamic_batching()
            written["dynamic_batching"].update(dynamic_batching(declared))
        if declared.decoupled:
            config.set_model_transaction_policy({"decoupled": True})
        written["instance_group"] = instance_groups(declared, written["name"])
        return config

    def initialize(self, args: Mapping[str, str]) -> None:
        """Make what is called; of a class, an object of its own.

        Raises:
            MisfitError: the config is not the declaration's.
        """
        declared = self.declared
        config = json.loads(args["model_config"])
        self._name = args["model_name"]
        self._batched = declared.batching is not None
        self._check(config)
        target: Any = declared.target
        self._object: Any = target() if isinstance(target, type) else None
        self._function: Callable[..., Any] = target if self._object is None else self._object

    def execute(self, requests: list[InferenceRequest]) -> list[InferenceResponse] | None:
        """Answer a batch."""
        if self.declared.decoupled:
            for request in requests:
                self._stream(request)
            return None
        responses: dict[int, InferenceResponse] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        inputs = [_inputs(request) for request in requests]
        for position, arrays in enumerate(inputs):
            key = tuple((name, array.shape[self._batched :]) for name, array in arrays.items())
            groups.setdefault(key, []).append(position)
        for positions in groups.values():
            answers = self._together([inputs[position] for position in positions])
            responses.update(zip(positions, answers, strict=True))
        return [responses[position] for position in range(len(requests))]

    def finalize(self) -> None:
        """Tell an object that wants to know: `close`."""
        close = getattr(self._object, "close", None)
        if callable(close):
            close()

    # ---- calling ---------------------------------------------------------------------------------------------------

    def _together(self, inputs: Sequence[Mapping[str, Array]]) -> list[InferenceResponse]:
        """One call for several requests."""
        try:
            if not self._batched:
                return [_response(self._outputs(self._function(**each), None)) for each in inputs]
            rows = [len(next(iter(each.values()), ())) for each in inputs]
            arrays = inputs[0]
            if len(inputs) > 1:
                arrays = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
            outputs = self._outputs(self._function(**arrays), sum(rows))
        except Exception as error:  # noqa: BLE001 - whatever a function raises is its request's answer
            if len(inputs) > 1:
                return [answer for each in inputs for answer in self._together([each])]
            return [self._failed(error)]
        if len(inputs) == 1:
            return [_response(outputs)]
        ends = np.cumsum(rows)
        return [
            _response({name: array[end - count : end] for name, array in outputs.items()})
            for end, count in zip(ends.tolist(), rows, strict=True)
        ]

    def _stream(self, request: InferenceRequest) -> None:
        """Send what the function yields, until it ends or nobody wants it any more."""
        sender = request.get_response_sender()
        given: Any = None
        try:
            given = self._function(**_inputs(request))
            for value in given:
                sender.send(_response(self._outputs(value, None)))
                if request.is_cancelled():
                    break
        except Exception as error:  # noqa: BLE001 - as above
            sender.send(self._failed(error), _FINAL)
        else:
            sender.send(flags=_FINAL)
        finally:
            if hasattr(given, "close"):
                given.close()

    def _failed(self, error: Exception) -> InferenceResponse:
        if isinstance(error, MisfitError):
            text = f"{error}\n\nAt:\n  {self.declared.file}({self.declared.line}): {self.declared.target.__name__}\n"
        else:
            text = described(error, __file__)
        _log.error("model '%s': %s", self._name, text)
        return InferenceResponse(error=TritonError(f"model '{self._name}' failed: {text}"))

    # ---- checking --------------------------------------------------------------------------------------------------

    def _outputs(self, given: Any, rows: int | None) -> dict[str, Array]:
        """What a call gave, by name, as declared; of a batch with as many rows as went in.

        Raises:
            MisfitError: it is something else.
        """
        declared = self.declared.outputs
        values = _named(given, declared)
        outputs: dict[str, Array] = {}
        for name, tensor in declared.items():
            if values.get(name) is None:
                has = f"only {', '.join(values)}" if values else "none"
                raise MisfitError(f"the function gave no output '{name}', {has}")
            outputs[name] = _array(name, tensor, values[name], rows)
        unknown = values.keys() - declared.keys()
        if unknown:
            raise MisfitError(f"the function gave an output '{min(unknown)}', declared are {', '.join(declared)}")
        return outputs

    def _check(self, config: Mapping[str, Any]) -> None:
        declared = self.declared
        for side, ours, theirs in (
            ("input", input_configs(declared), config["input"]),
            ("output", output_configs(declared), config["output"]),
        ):
            by_name = {each["name"]: each for each in theirs}
            for each in ours:
                written = by_name.pop(each["name"], None)
                if written is None and not each.get("optional"):
                    raise MisfitError(f"the config has no {side} '{each['name']}', which the function declares")
                if written is not None and written["data_type"] != each["data_type"]:
                    raise MisfitError(
                        f"the config has {side} '{each['name']}' with {written['data_type']}, the function declares "
                        f"{each['data_type']}"
                    )
            if by_name:
                raise MisfitError(f"the config has an {side} '{min(by_name)}', which the function does not declare")
        if (config["max_batch_size"] > 0) != self._batched:
            raise MisfitError(
                f"the config has max_batch_size {config['max_batch_size']}, and the function is declared "
                f"{'with' if self._batched else 'without'} batching"
            )
        if config.get("model_transaction_policy", {}).get("decoupled", False) != declared.decoupled:
            raise MisfitError("a function that yields is a decoupled model, and no other; the config says otherwise")


def _inputs(request: InferenceRequest) -> dict[str, Array]:
    return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}


def _named(given: Any, declared: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """Values by name: a dict as it is, a tuple in order, anything else as the only output."""
    if isinstance(given, Mapping):
        return given
    names = list(declared)
    values: Iterable[Any] = given if isinstance(given, tuple) else (given,)
    values = tuple(values)
    if len(values) != len(names):
        raise MisfitError(
            f"the function gave {len(values)} value{'s' if len(values) > 1 else ''} for the outputs {', '.join(names)}"
        )
    return dict(zip(names, values, strict=True))


def _array(name: str, tensor: Tensor, value: Any, rows: int | None) -> Array:
    if isinstance(value, np.ndarray):
        array = value
    else:
        try:
            array = np.asarray(value, np.object_ if tensor.datatype == "BYTES" else NUMPY[tensor.datatype])
        except (TypeError, ValueError, OverflowError) as error:
            raise MisfitError(f"output '{name}' is no array of {tensor.datatype}: {error}") from None
    if tensor.datatype == "BYTES":
        fits = array.dtype.kind in "OSU"
        array = array.astype(np.object_, copy=False)
    else:
        fits = array.dtype == NUMPY[tensor.datatype]
    if not fits:
        raise MisfitError(f"output '{name}' has the numpy type {array.dtype}, declared is {tensor.datatype}")
    expected = (*(() if rows is None else (rows,)), *tensor.dims)
    shape = array.shape
    if len(shape) != len(expected) or any(want not in (-1, dim) for want, dim in zip(expected, shape, strict=True)):
        said = f"{list(tensor.dims)} behind a batch of {rows}" if rows is not None else f"{list(tensor.dims)}"
        raise MisfitError(f"output '{name}' has the shape {list(shape)}, declared is {said}")
    return array


def _response(outputs: Mapping[str, Array]) -> InferenceResponse:
    return InferenceResponse([ApiTensor(name, array) for name, array in outputs.items()])
