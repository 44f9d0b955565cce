"""What the contract needs to know of a framework: a small real model of it, and what it answers itself. Runs nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tis.contracts.arrays import NUMPY
from tis.contracts.datatypes import to_config

Arrays = Mapping[str, npt.NDArray[Any]]

#: Rows that a framework answers itself, and that clients ask for in one or several requests.
ROWS: Final = 8
HAS_GPU: Final = Path("/dev/nvidia0").exists()


@dataclass(frozen=True)
class Tensor:
    """An input or output: name, protocol datatype and dimensions as a config has them, without that of the batch."""

    name: str
    datatype: str
    dims: tuple[int, ...]

    def config(self, datatype: str = "") -> str:
        """As config.pbtxt has it, perhaps with another datatype."""
        listed = ", ".join(str(dim) for dim in self.dims)
        return f'{{ name: "{self.name}" data_type: {to_config(datatype or self.datatype)} dims: [ {listed} ] }}'


def random_inputs(inputs: tuple[Tensor, ...], rng: np.random.Generator, rows: int) -> Arrays:
    """Rows of numbers for every input; variable dimensions are 5."""
    found: dict[str, npt.NDArray[Any]] = {}
    for tensor in inputs:
        shape = (rows, *(5 if dim == -1 else dim for dim in tensor.dims))
        if tensor.datatype == "BYTES":
            numbers = rng.integers(0, 10, shape)
            found[tensor.name] = np.array([str(n).encode() for n in numbers.ravel()], np.object_).reshape(shape)
        elif tensor.datatype.startswith("FP"):
            found[tensor.name] = rng.standard_normal(shape).astype(NUMPY[tensor.datatype])
        else:
            found[tensor.name] = rng.integers(0, 2, shape).astype(NUMPY[tensor.datatype])
    return found


def _is_there(module: str) -> bool:
    """Whether a module, perhaps one in a package, is there."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def overwrite(path: Path) -> None:
    """Spoil a model: its first file holds something else."""
    file = next(each for each in sorted(path.rglob("*")) if each.is_file()) if path.is_dir() else path
    file.write_bytes(b"no model of any framework" * 64)


@dataclass(frozen=True)
class Subject:
    """A framework with a model. Functions import the framework themselves: they run in a process of their own."""

    backend: str
    #: The framework's own module: without it the contract is skipped. A worker must not need more than it and numpy.
    module: str
    #: What the refusal tells to install: `tis[EXTRA]`.
    extra: str
    #: The model's file or directory in the version's directory.
    filename: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    #: Write the model to a path, with weights that differ by a number.
    make: Callable[[Path, int], None]
    #: What the framework itself answers for the model at a path.
    answer: Callable[[Path, Arrays], Arrays]
    #: Inputs of so many rows, where random numbers do not do.
    sample: Callable[[np.random.Generator, int], Arrays] | None = None
    #: More of the config, such as parameters that the model needs.
    config: str = ""
    #: Whether the model file says what its inputs and outputs are; and else what a config without them is told.
    completes: bool = True
    incomplete: str = ""
    #: When an input is found out that has another datatype in the config than in the model, and in what words.
    datatypes_checked: Literal["load", "request", "never"] = "load"
    mistyped: str = "expects datatype|datatype"
    #: What the refusal of a spoilt file must match.
    spoil: Callable[[Path], None] = overwrite
    spoilt: str = "."
    rtol: float = 1e-5
    atol: float = 1e-6
    #: Other modules that making the model, or asking its framework, needs.
    also: tuple[str, ...] = ()
    #: Whether its models run on GPUs only.
    gpu: bool = False

    @property
    def lacks(self) -> str:
        """Why the contract cannot be tried here; empty where it can."""
        if self.missing:
            return f"'{self.missing}' is not installed: pip install 'tis[{self.extra}]'"
        return "needs an NVIDIA GPU (no /dev/nvidia0)" if self.gpu and not HAS_GPU else ""

    @property
    def missing(self) -> str:
        """The first module that is not there, empty where all are; none is imported but the packages that they are in."""
        return next((module for module in (self.module, *self.also) if not _is_there(module)), "")

    @property
    def installed(self) -> bool:
        """Whether the framework is there; it is not imported."""
        return not self.missing

    def sampled(self, rows: int = ROWS) -> Arrays:
        """The inputs of the contract."""
        rng = np.random.default_rng(7)
        return random_inputs(self.inputs, rng, rows) if self.sample is None else self.sample(rng, rows)

    def write_config(
        self,
        repository: Path,
        name: str,
        *,
        max_batch_size: int = 0,
        extra: str = "",
        tensors: bool = True,
        datatypes: Mapping[str, str] | None = None,
    ) -> None:
        """Write config.pbtxt; `tensors`: with inputs and outputs, `datatypes`: those that are others in it."""
        others = datatypes or {}
        text = f'name: "{name}"\nbackend: "{self.backend}"\n'
        if max_batch_size:
            text += f"max_batch_size: {max_batch_size}\n"
        if tensors:
            for side, listed in (("input", self.inputs), ("output", self.outputs)):
                text += "".join(f"{side} [ {each.config(others.get(each.name, ''))} ]\n" for each in listed)
        if self.gpu and HAS_GPU:
            extra = extra.replace("KIND_CPU", "KIND_GPU")
        (repository / name).mkdir(parents=True, exist_ok=True)
        (repository / name / "config.pbtxt").write_text(text + self.config + extra)
