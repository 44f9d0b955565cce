"""A request as gathering and scattering see it, and what a model's specification needs for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import BatchInputSpec, BatchOutputSpec, ExtensionSpec, PaddingSpec
from tis_workers.batch.parts import Array


@dataclass
class Sent:
    """A request's tensors."""

    batch_size: int
    inputs: Mapping[str, Array] = field(default_factory=dict)


def model(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...] = (),
    *,
    max_batch_size: int = 8,
    batch_inputs: tuple[BatchInputSpec, ...] = (),
    batch_outputs: tuple[BatchOutputSpec, ...] = (),
    padding: PaddingSpec | None = None,
) -> ModelSpec:
    """A specification with these tensors."""
    return ModelSpec(
        "m",
        1,
        "",
        "onnxruntime",
        max_batch_size,
        inputs,
        outputs,
        batch_inputs=batch_inputs,
        batch_outputs=batch_outputs,
        extensions=ExtensionSpec(padding),
    )
