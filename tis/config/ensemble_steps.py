"""Whether an ensemble fits the models of its steps: checked once these are loaded and their configs complete.

Texts are Triton's (ValidateEnsembleConfig and ValidateTensorMapping in its core).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tis.config.fault import ConfigFault, Faults, Report, at_key, raise_it, tell
from tis.contracts.datatypes import to_config
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import EnsembleStepSpec
from tis.contracts.validation import shape_text


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


def check_steps(ensemble: ModelSpec, models: Mapping[str, ModelSpec], report: Report = raise_it) -> bool:
    """Check an ensemble against the models that its steps name.

    Returns whether the ensemble is decoupled: one of its steps is.

    Raises:
        TisError: INVALID_ARG; the first, unless `report` keeps them.
    """
    steps = ensemble.ensemble.steps if ensemble.ensemble is not None else ()
    tell(_step_faults(ensemble, steps, models), report)
    tell(_origin_faults(ensemble, steps, models), report)
    return any(models[step.model].decoupled for step in steps)


def _step_faults(ensemble: ModelSpec, steps: tuple[EnsembleStepSpec, ...], models: Mapping[str, ModelSpec]) -> Faults:
    batching = ensemble.max_batch_size > 0
    known = {
        tensor.name: _Known(
            ensemble.identifier, tensor.datatype, tensor.shape if tensor.reshape is None else tensor.reshape, batching
        )
        for tensor in (*ensemble.inputs, *ensemble.outputs)
    }
    for index, step in enumerate(steps):
        model = models[step.model]
        if 0 < model.max_batch_size < ensemble.max_batch_size:
            yield ConfigFault(
                "max_batch_size",
                f"ensemble {ensemble.identifier} allows maximum batch size {ensemble.max_batch_size}, but it contains model "
                f"{model.identifier} which only allows maximum batch size to be {model.max_batch_size}",
                expected=f"at most {model.max_batch_size}",
            )
        at = f"ensemble_scheduling.step[{index}]"
        yield from _input_faults(ensemble, at, step, model, known)
        yield from _output_faults(ensemble, at, step, model, known)


def _input_faults(
    ensemble: ModelSpec, at: str, step: EnsembleStepSpec, model: ModelSpec, known: dict[str, _Known]
) -> Faults:
    at = f"{at}.input_map"
    for name in sorted(step.inputs):
        if name not in model.inputs_by_name:
            yield ConfigFault(
                at_key(at, name),
                f"in ensemble {ensemble.identifier}, ensemble tensor {step.inputs[name]} is mapping to non-existing input "
                f"{name} in model {model.identifier}",
                expected=f"one of {', '.join(model.inputs_by_name)}",
            )
    for spec in model.inputs:
        tensor = step.inputs.get(spec.name)
        if tensor is not None:
            yield from _tensor_faults(ensemble, at_key(at, spec.name), tensor, model, spec, known)
        elif not spec.optional:
            yield ConfigFault(
                at,
                f"in ensemble {ensemble.identifier}, input {spec.name} in model {model.identifier} is not mapped to any "
                "ensemble tensors",
                expected=f"an entry for {spec.name}",
            )


def _output_faults(
    ensemble: ModelSpec, at: str, step: EnsembleStepSpec, model: ModelSpec, known: dict[str, _Known]
) -> Faults:
    for name in sorted(step.outputs):
        entry = at_key(f"{at}.output_map", name)
        spec = model.outputs_by_name.get(name)
        if spec is not None:
            yield from _tensor_faults(ensemble, entry, step.outputs[name], model, spec, known)
            continue
        yield ConfigFault(
            entry,
            f"in ensemble {ensemble.identifier}, ensemble tensor {step.outputs[name]} is mapped from non-existing output "
            f"{name} in model {model.identifier}",
            expected=f"one of {', '.join(model.outputs_by_name)}",
        )


def _tensor_faults(
    ensemble: ModelSpec, at: str, tensor: str, model: ModelSpec, spec: TensorSpec, known: dict[str, _Known]
) -> Faults:
    """Compare a model's input or output with what is known of the ensemble's tensor, or make that known."""
    said = _Known(model.identifier, spec.datatype, spec.shape, model.max_batch_size > 0)
    first = known.setdefault(tensor, said)
    where = f"in ensemble {ensemble.identifier}, ensemble tensor {tensor}: "
    if first.datatype != said.datatype:
        theirs = to_config(first.datatype)
        yield ConfigFault(
            at,
            f"{where}inconsistent data type: {theirs} is inferred from model {first.model} while "
            f"{to_config(said.datatype)} is inferred from model {said.model}",
            expected=f"a tensor of {theirs}",
        )
    # A model without batching may take the batch dimension for one of its own.
    if not _agree(first.dims, said.dims) and not _agree(first.full_dims, said.full_dims):
        yield ConfigFault(
            at,
            f"{where}inconsistent shape: {shape_text(first.full_dims)} is inferred from model {first.model} while "
            f"{shape_text(said.full_dims)} is inferred from model {said.model}",
            expected=f"a tensor of shape {shape_text(first.full_dims)}",
        )


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        left == right or -1 in (left, right) for left, right in zip(one, other, strict=True)
    )


def _origin_faults(ensemble: ModelSpec, steps: tuple[EnsembleStepSpec, ...], models: Mapping[str, ModelSpec]) -> Faults:
    """No step, nor the answer, joins tensors of different decoupled steps."""
    #: Which decoupled step the responses come from that a tensor belongs to; 0 for the request itself.
    origins = {tensor.name: 0 for tensor in ensemble.inputs}
    open_steps = list(enumerate(steps, 1))
    while open_steps:
        ready = [(number, step) for number, step in open_steps if origins.keys() >= set(step.inputs.values())]
        if not ready:
            # The flow of tensors has been checked before.
            yield ConfigFault("ensemble_scheduling", f"steps of ensemble '{ensemble.identifier}' wait for each other")
            return
        for number, step in ready:
            joined = [origins[tensor] for tensor in step.inputs.values()]
            if len(set(joined)) > 1:
                yield _joined(ensemble, f"ensemble_scheduling.step[{number - 1}].input_map", step.model)
            origin = number if models[step.model].decoupled else joined[0]
            origins.update(dict.fromkeys(step.outputs.values(), origin))
        open_steps = [each for each in open_steps if each not in ready]
    if len({origins[tensor.name] for tensor in ensemble.outputs}) > 1:
        yield _joined(ensemble, "output", ensemble.identifier)


def _joined(ensemble: ModelSpec, at: str, model: str) -> ConfigFault:
    return ConfigFault(
        at,
        f"in ensemble {ensemble.identifier}, step of model '{model}' receives inputs originated from different "
        "decoupled models",
        expected="tensors of one decoupled model",
    )
