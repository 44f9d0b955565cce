"""Models of the backends that come with the server and need no model file."""

from pathlib import Path
from typing import Final

from tests.harness.repository import one_cpu

MANY_RESPONSES: Final = "model_transaction_policy { decoupled: true }\n"


def write_native(
    folder: Path, name: str, backend: str, tensors: str, *, max_batch_size: int = 0, extra: str = "", one: bool = True
) -> None:
    """Add a model without a file to a repository; `tensors` and `extra` are config text, `one`: an instance on the CPU."""
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "{backend}"\nmax_batch_size: {max_batch_size}\n{tensors}'
        f"{one_cpu() if one else ''}{extra}"
    )


def tensors(side: str, **given: tuple[str, str]) -> str:
    """Inputs or outputs of a config: for each name its datatype and its dimensions as text."""
    return "".join(
        f'{side} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]\n'
        for name, (datatype, dims) in given.items()
    )


def write_identity(folder: Path, name: str, datatype: str = "FP32", dims: str = "4", **more: object) -> None:
    """INPUT0 to OUTPUT0 with the backend `identity`."""
    named = tensors("input", INPUT0=(datatype, dims)) + tensors("output", OUTPUT0=(datatype, dims))
    write_native(folder, name, "identity", named, **more)  # type: ignore[arg-type]


def write_repeat(folder: Path, name: str = "repeat", *, extra: str = "") -> None:
    """A response for each element of IN, each after its DELAY."""
    named = tensors("input", IN=("INT32", "-1"), DELAY=("UINT32", "-1"), WAIT=("UINT32", "1")) + tensors(
        "output", OUT=("INT32", "1"), IDX=("UINT32", "1")
    )
    write_native(folder, name, "repeat", named, extra=MANY_RESPONSES + extra)


def write_square(folder: Path, name: str = "square", *, extra: str = "", max_batch_size: int = 0) -> None:
    """As many responses as IN says."""
    named = tensors("input", IN=("INT32", "1")) + tensors("output", OUT=("INT32", "1"))
    write_native(folder, name, "square", named, extra=MANY_RESPONSES + extra, max_batch_size=max_batch_size)


def parameter(name: str, value: object) -> str:
    """A parameter of a config."""
    return f'parameters {{ key: "{name}" value: {{ string_value: "{value}" }} }}\n'
