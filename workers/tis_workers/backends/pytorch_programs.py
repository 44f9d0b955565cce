"""The three kinds of files that hold a PyTorch model, loaded and called alike: TorchScript, torch.export, AOTInductor.

Which one a file is, its contents say, not its name. A file of `torch.save` is none: its pickle may run anything.
"""

import os
import re
import tempfile
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from tis.contracts.model_spec import TensorSignature
from tis.errors import TisError, internal, invalid, unsupported
from tis_workers.backends.pytorch_aliases import touches_inputs
from tis_workers.backends.pytorch_tensors import DATATYPES

#: What PyTorch appends to an error for its own developers.
_CPP_TRACE: Final = re.compile(r"\nException raised from .*", re.DOTALL)

#: A model's results: in order, or by name where it gives a dictionary.
Results = Sequence[Any] | Mapping[str, Any]


class Program(ABC):
    """A loaded model."""

    #: Names of the tensors that it takes, in order; None where the file does not say.
    arguments: tuple[str, ...] | None = None
    takes_dict: bool = False
    #: It may write to the tensors that it is given, or keep them.
    touches: bool = False
    #: What the file declares, in order, where it does.
    inputs: tuple[TensorSignature, ...] | None = None
    outputs: tuple[TensorSignature, ...] | None = None

    def close(self) -> None:
        """The model will not be called again."""
        return

    @abstractmethod
    def call(self, names: Sequence[str], values: Sequence[Any]) -> Results:
        """Run the model on values in the order of its arguments, which have these names in the config."""


class _Script(Program):
    """TorchScript."""

    def __init__(self, path: Path, device: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._module = torch.jit.load(str(path)) if device is None else torch.jit.load(str(path), device)
        # As Triton: the module stays in the mode that it was saved in, and hooks of the outermost module do not run.
        self._forward = self._module.forward
        arguments = [each for each in self._forward.schema.arguments if each.name != "self"]
        kinds = [each.type.kind() for each in arguments]
        self.takes_dict = kinds == ["DictType"]
        if not self.takes_dict:
            _check_arguments(arguments)
            self.arguments = tuple(each.name for each in arguments)
        self.touches = touches_inputs(self._module.inlined_graph)

    def call(self, names: Sequence[str], values: Sequence[Any]) -> Results:
        """As the base class says."""
        given = (dict(zip(names, values, strict=True)),) if self.takes_dict else values
        return in_order(self._forward(*given))


def _check_arguments(arguments: Sequence[Any]) -> None:
    """Refuse in Triton's words what a request cannot fill."""
    kinds = [each.type.kind() for each in arguments]
    if "DictType" in kinds:
        raise internal(
            "Multiple inputs of kind DictType were detected. Only a single input of type Dict(str, Tensor) is supported."
        )
    for argument, kind in zip(arguments, kinds, strict=True):
        if kind not in ("TensorType", "ListType"):
            raise internal(
                f"An input of type '{argument.type}' was detected in the model. Only a single input of type "
                "Dict(str, Tensor) or input(s) of type Tensor are supported."
            )


class _Exported(Program):
    """A program of `torch.export`, which says all of its inputs and outputs."""

    def __init__(self, path: Path, device: Any) -> None:
        from torch.export.passes import move_to_device_pass
        from torch.utils import _pytree as pytree

        # Opened here, since by a path it takes only names that end in .pt2.
        with path.open("rb") as file:
            program = torch.export.load(file)
        if device is not None:
            program = move_to_device_pass(program, device)
        signature = program.graph_signature
        self._in_spec = program.call_spec.in_spec
        self._unflatten = pytree.tree_unflatten
        self._module = program.module()
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        given, results = list(signature.user_inputs), list(signature.user_outputs)
        if any(not isinstance(values.get(name), torch.Tensor) for name in (*given, *results)):
            raise unsupported("a program of torch.export must take and give tensors only")
        self.arguments = self._named(given)
        self.inputs = tuple(_declared(name, values[own]) for name, own in zip(self.arguments, given, strict=True))
        ordered = pytree.tree_unflatten(results, program.call_spec.out_spec)
        named = ordered if isinstance(ordered, dict) else {f"OUTPUT__{n}": name for n, name in enumerate(results)}
        if any(name not in values for name in named.values() if not isinstance(name, list | tuple | dict)):
            raise unsupported("a program of torch.export must give a tensor, tensors, or tensors by name")
        self.outputs = tuple(_declared(name, values[own]) for name, own in named.items())
        self.touches = bool(signature.user_inputs_to_mutate)

    def _named(self, given: list[str]) -> tuple[str, ...]:
        """Names for the tensors taken: those of arguments, and for a single dictionary its keys."""
        positional, keywords = self._unflatten(list(given), self._in_spec)
        if len(positional) == 1 and not keywords and isinstance(positional[0], dict):
            keys = {name: key for key, name in positional[0].items() if isinstance(name, str)}
        else:
            keys = {name: key for key, name in keywords.items() if isinstance(name, str)}
        return tuple(str(keys.get(name, name)) for name in given)

    def call(self, names: Sequence[str], values: Sequence[Any]) -> Results:  # noqa: ARG002 - they are in order
        """As the base class says."""
        positional, keywords = self._unflatten(list(values), self._in_spec)
        return in_order(self._module(*positional, **keywords))


class _Compiled(Program):
    """A package of AOTInductor: machine code, compiled for a device.

    Facts: the package is unpacked into a temporary directory, which only the destructor of the model would remove, and which
    processes that end do not run. Code for CPUs is mapped at once; that for GPUs may be read at the first run.
    """

    #: The code does not say.
    touches = True

    def __init__(self, path: Path, device: Any) -> None:
        from torch._inductor import aoti_load_package

        index = -1 if device is None or device.type == "cpu" else device.index or 0
        self._folder = tempfile.TemporaryDirectory(prefix="tis-aotinductor-", ignore_cleanup_errors=True)
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = self._folder.name
        try:
            self._model = aoti_load_package(str(path), device_index=index)
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
        compiled_for = self._model.get_metadata().get("AOTI_DEVICE_KEY", "")
        if device is not None and compiled_for and compiled_for != device.type:
            raise invalid(
                f"the package was compiled for the device '{compiled_for}', and the instance runs on '{device}'"
            )
        if device is not None and device.type == "cpu":
            self._folder.cleanup()

    def close(self) -> None:
        """As the base class says."""
        self._folder.cleanup()

    def call(self, names: Sequence[str], values: Sequence[Any]) -> Results:  # noqa: ARG002 - they are in order
        """As the base class says."""
        return in_order(self._model(*values))


def load_program(path: Path, device: Any, model: str) -> Program:
    """Load a file onto a device; None: where the file says.

    Raises:
        TisError: INTERNAL with PyTorch's text where it refuses the file; UNSUPPORTED for what is no model of these kinds.
    """
    kind = _kind(path)
    try:
        return kind(path, device)
    except TisError as error:
        raise TisError(error.code, f"failed to load model '{model}': {error.message}") from error
    except Exception as error:
        raise internal(f"failed to load model '{model}': {told(error)}") from error


def _kind(path: Path) -> Callable[[Path, Any], Program]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        # PyTorch says what is wrong.
        return _Script
    if any(name.startswith("data/aotinductor/") for name in names):
        return _Compiled
    if any(name.startswith("models/") for name in names) or "serialized_exported_program.json" in archive.namelist():
        return _Exported
    if "data.pkl" in names and "constants.pkl" not in names:
        raise unsupported(
            f"'{path}' is a file of torch.save, which may hold any code and is not loaded; save the model with "
            "torch.export.save, or with torch.jit.save as TorchScript"
        )
    return _Script


def told(error: Exception) -> str:
    """PyTorch's text of an error, without the C++ stack."""
    return _CPP_TRACE.sub("", str(error)).strip() or type(error).__name__


def in_order(result: Any) -> Results:
    """A model's results.

    Raises:
        TisError: INTERNAL, in Triton's words, for what is neither a tensor, strings, a tuple of them, nor a dictionary.
    """
    if isinstance(result, torch.Tensor) or _are_strings(result):
        return (result,)
    if isinstance(result, tuple | dict):
        for position, each in enumerate(result.values() if isinstance(result, dict) else result):
            if not isinstance(each, torch.Tensor) and not _are_strings(each):
                raise internal(
                    f"PyTorch execute failure: output at index {position} must be of type Tensor or List[str], received "
                    f"{type(each).__name__}"
                )
        return result
    raise internal(
        "PyTorch execute failure: output must be of type Tensor, List[str] or Tuple containing one of these two types. It "
        "should not be a List / Dictionary of Tensors or a Scalar"
    )


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _declared(name: str, value: Any) -> TensorSignature:
    datatype = DATATYPES.get(value.dtype)
    if datatype is None:
        raise unsupported(f"tensor '{name}' of the model has the type {value.dtype}, which this server cannot carry")
    return TensorSignature(name, datatype, tuple(dim if isinstance(dim, int) else -1 for dim in value.shape))
