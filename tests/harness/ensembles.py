"""Ensembles as a repository has them: steps, the tensors between them, and the config."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A step: the model, and which tensors its inputs and outputs are."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    version: int = -1

    def config(self) -> str:
        """As config.pbtxt has it."""
        maps = [f'input_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in self.inputs.items()]
        maps += [f'output_map {{ key: "{name}" value: "{tensor}" }}' for name, tensor in self.outputs.items()]
        return f'{{ model_name: "{self.model}" model_version: {self.version} {" ".join(maps)} }}'


@dataclass(frozen=True)
class Ensemble:
    """An ensemble; inputs and outputs are datatype and dims by name, an optional input's name ends in `?`."""

    inputs: Mapping[str, tuple[str, str]]
    outputs: Mapping[str, tuple[str, str]]
    steps: tuple[Step, ...]
    max_batch_size: int = 8

    def config(self, name: str) -> str:
        """As config.pbtxt has it."""
        lines = [f'name: "{name}"', 'platform: "ensemble"', f"max_batch_size: {self.max_batch_size}"]
        for side, tensors in (("input", self.inputs), ("output", self.outputs)):
            for tensor, (datatype, dims) in tensors.items():
                optional = " optional: true" if tensor.endswith("?") else ""
                bare = tensor.removesuffix("?")
                lines.append(f'{side} [ {{ name: "{bare}" data_type: TYPE_{datatype} dims: [ {dims} ]{optional} }} ]')
        lines.append(f"ensemble_scheduling {{ step [ {', '.join(step.config() for step in self.steps)} ] }}")
        return "\n".join(lines) + "\n"

    def write(self, repository: Path, name: str, extra: str = "") -> None:
        """Add it to a repository; `extra` is appended to its config."""
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(self.config(name) + extra)
