"""Whether an ensemble fits the models of its steps: checked once these are loaded and their configs complete.

Texts are Triton's (ValidateEnsembleConfig and ValidateTensorMapping in its core).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tis.contracts.datatypes import to_config
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import EnsembleStepSpec
from tis.contracts.validation import shape_text
from tis.errors import invalid


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a tensor, and from which model."""

    model: str
    datatype: str
    dims: tuple[int, ...]
    batching: bool

    @property
    def full_dims(self) -> tuple[int, ...]:
        return (-1, *self.dims) if self.batching else self.dims


def check_steps(ensemble: ModelSpec, models: Mapping[str, ModelSpec]) -> bool:
    """Check an ensemble against the models that its steps name.

    Returns whether the ensemble is decoupled: one of its steps is.

    Raises:
        TisError: INVALID_ARG.
    """
    batching = ensemble.max_batch_size > 0
    known = {
        tensor.name: _Known(
            ensemble.name, tensor.datatype, tensor.shape if tensor.reshape is None else tensor.reshape, batching
        )
        for tensor in (*ensemble.inputs, *ensemble.outputs)
    }
    steps = ensemble.ensemble.steps if ensemble.ensemble is not None else ()
    for step in steps:
        model = models[step.model]
        if 0 < model.max_batch_size < ensemble.max_batch_size:
            raise invalid(
                f"ensemble {ensemble.name} allows maximum batch size {ensemble.max_batch_size}, but it contains model "
                f"{model.name} which only allows maximum batch size to be {model.max_batch_size}"
            )
        _check_inputs(ensemble, step, model, known)
        _check_outputs(ensemble, step, model, known)
    return _check_origins(ensemble, steps, models)


def _check_inputs(ensemble: ModelSpec, step: EnsembleStepSpec, model: ModelSpec, known: dict[str, _Known]) -> None:
    for name in sorted(step.inputs):
        if name not in model.inputs_by_name:
            raise invalid(
                f"in ensemble {ensemble.name}, ensemble tensor {step.inputs[name]} is mapping to non-existing input "
                f"{name} in model {model.name}"
            )
    for spec in model.inputs:
        tensor = step.inputs.get(spec.name)
        if tensor is not None:
            _check_agrees(ensemble, tensor, model, spec, known)
        elif not spec.optional:
            raise invalid(
                f"in ensemble {ensemble.name}, input {spec.name} in model {model.name} is not mapped to any ensemble "
                "tensors"
            )


def _check_outputs(ensemble: ModelSpec, step: EnsembleStepSpec, model: ModelSpec, known: dict[str, _Known]) -> None:
    for name in sorted(step.outputs):
        spec = model.outputs_by_name.get(name)
        if spec is None:
            raise invalid(
                f"in ensemble {ensemble.name}, ensemble tensor {step.outputs[name]} is mapped from non-existing output "
                f"{name} in model {model.name}"
            )
        _check_agrees(ensemble, step.outputs[name], model, spec, known)


def _check_agrees(
    ensemble: ModelSpec, tensor: str, model: ModelSpec, spec: TensorSpec, known: dict[str, _Known]
) -> None:
    """Compare a model's input or output with what is known of the ensemble's tensor, or make that known."""
    said = _Known(model.name, spec.datatype, spec.shape, model.max_batch_size > 0)
    first = known.setdefault(tensor, said)
    where = f"in ensemble {ensemble.name}, ensemble tensor {tensor}: "
    if first.datatype != said.datatype:
        raise invalid(
            f"{where}inconsistent data type: {to_config(first.datatype)} is inferred from model {first.model} while "
            f"{to_config(said.datatype)} is inferred from model {said.model}"
        )
    # A model without batching may take the batch dimension for one of its own.
    if not _agree(first.dims, said.dims) and not _agree(first.full_dims, said.full_dims):
        raise invalid(
            f"{where}inconsistent shape: {shape_text(first.full_dims)} is inferred from model {first.model} while "
            f"{shape_text(said.full_dims)} is inferred from model {said.model}"
        )


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        left == right or -1 in (left, right) for left, right in zip(one, other, strict=True)
    )


def _check_origins(ensemble: ModelSpec, steps: tuple[EnsembleStepSpec, ...], models: Mapping[str, ModelSpec]) -> bool:
    """Check that no step, nor the answer, joins tensors of different decoupled steps; True where there is one at all."""
    #: Which decoupled step the responses come from that a tensor belongs to; 0 for the request itself.
    origins = {tensor.name: 0 for tensor in ensemble.inputs}
    open_steps = list(enumerate(steps, 1))
    decoupled = False
    while open_steps:
        ready = [(number, step) for number, step in open_steps if origins.keys() >= set(step.inputs.values())]
        if not ready:
            # The flow of tensors has been checked before.
            raise invalid(f"steps of ensemble '{ensemble.name}' wait for each other")
        for number, step in ready:
            origin = _common(ensemble, step.model, [origins[tensor] for tensor in step.inputs.values()])
            if models[step.model].decoupled:
                decoupled, origin = True, number
            origins.update(dict.fromkeys(step.outputs.values(), origin))
        open_steps = [each for each in open_steps if each not in ready]
    _common(ensemble, ensemble.name, [origins[tensor.name] for tensor in ensemble.outputs])
    return decoupled


def _common(ensemble: ModelSpec, model: str, origins: list[int]) -> int:
    if len(set(origins)) > 1:
        raise invalid(
            f"in ensemble {ensemble.name}, step of model '{model}' receives inputs originated from different decoupled "
            "models"
        )
    return origins[0] if origins else 0
