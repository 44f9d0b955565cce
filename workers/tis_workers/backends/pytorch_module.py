"""PyTorch models as Python classes: `runtime: "model.py"`, with the class in model.py and its weights in model.pt.

Layout and parameters are those of Triton's "PyTorch 2.0 backend"; `torch.compile` compiles the class at its first run.
"""

import importlib.util
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch

from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError, internal, invalid, not_found
from tis_workers.backends.pytorch_programs import Program, Results, in_order, load_program, told

RUNTIME: Final = "model.py"
_COMPILE: Final = "TORCH_COMPILE_OPTIONAL_PARAMETERS"
_FILES: Final = ("model.py", "model.pt")


class _Module(Program):
    """An instance of the class."""

    #: Nobody knows.
    touches = True

    def __init__(self, path: Path, device: Any, compiling: Mapping[str, Any]) -> None:
        module = _class_of(_imported(path))()
        weights = path.with_suffix(".pt")
        if weights.exists():
            # Nothing but tensors: a pickle may run anything.
            module.load_state_dict(torch.load(weights, map_location=device, weights_only=True))
        if device is not None:
            module.to(device)
        self._module = torch.compile(module.eval(), **compiling)
        self.arguments = _arguments(module)

    def call(self, names: Sequence[str], values: Sequence[Any]) -> Results:  # noqa: ARG002 - they are in order
        """As the base class says."""
        result = self._module(*values)
        # Lists are taken, too, as Triton does for these models.
        return in_order(tuple(result) if isinstance(result, list) else result)


def load_module(spec: ModelSpec, version_dir: Path, device: Any) -> Program:
    """Load a model of this runtime: a class, or TorchScript where there is no Python file.

    Raises:
        TisError: NOT_FOUND without a file; INVALID_ARG for parameters that cannot be; INTERNAL where the code or the weights
            fail.
    """
    candidates = [version_dir / name for name in ((spec.filename,) if spec.filename else _FILES)]
    path = next((each for each in candidates if each.is_file()), None)
    if path is None:
        names = ", ".join(f"'{each.name}'" for each in candidates)
        raise not_found(f"No model found in {version_dir}/[{names}] for model '{spec.name}'")
    compiling = _compile_parameters(spec.parameters)
    if path.suffix != ".py":
        return load_program(path, device, spec.name)
    # Its own pool of processes would outlive a worker that is killed.
    torch._inductor.config.compile_threads = 1  # noqa: SLF001 - the library's switches are found there
    try:
        return _Module(path, device, compiling)
    except TisError as error:
        raise TisError(error.code, f"failed to load model '{spec.name}': {error.message}") from error
    except Exception as error:
        raise internal(f"failed to load model '{spec.name}': {type(error).__name__}: {told(error)}") from error


def _compile_parameters(parameters: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(parameters.get(_COMPILE, "{}"))
    except ValueError as error:
        raise invalid(f"parameter '{_COMPILE}' is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise invalid(f"parameter '{_COMPILE}' must be a JSON object, got {parameters[_COMPILE]}")
    if "model" in found:
        raise invalid("'model' is not an optional parameter for 'torch.compile'")
    return found


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tis_pytorch_model_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise internal(f"'{path}' is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _class_of(module: ModuleType) -> Any:
    """The first class by name that is a torch.nn.Module; one that the file itself defines before one that it imports."""
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, torch.nn.Module)]
    if not found:
        raise internal("Cannot find a subclass of torch.nn.Module")
    own = [each for each in found if each.__module__ == module.__name__]
    return (own or found)[0]


def _arguments(module: Any) -> tuple[str, ...] | None:
    """Names of `forward`'s arguments, where it takes just these."""
    listed = inspect.signature(module.forward).parameters.values()
    if all(each.kind is each.POSITIONAL_OR_KEYWORD and each.default is each.empty for each in listed):
        return tuple(each.name for each in listed)
    return None
