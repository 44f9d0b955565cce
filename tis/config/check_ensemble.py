"""Rejections of `ensemble_scheduling` that need only the ensemble's own config: parts, and the flow of tensors between steps.

Texts begin with Triton's words (ValidateEnsembleSchedulingConfig). What depends on the steps' models is `ensemble_steps.py`.
"""

from dataclasses import dataclass, field

from tis.config.backends import ENSEMBLE_PLATFORM
from tis.config.proto import Message
from tis.errors import TisError, invalid


@dataclass(slots=True, eq=False)
class _Tensor:
    """A tensor of the ensemble, linked with those that its step reads and those that are made from it."""

    name: str
    is_output: bool = False
    #: It can be made from the ensemble's inputs.
    ready: bool = False
    before: "list[_Tensor]" = field(default_factory=list)
    after: "list[_Tensor]" = field(default_factory=list)


def check_ensemble(config: Message) -> None:
    """Rejects what an ensemble must not have, steps that lack a part, and tensors that nobody makes or reads.

    Raises:
        TisError: INVALID_ARG.
    """
    name = config.name
    if config.platform != ENSEMBLE_PLATFORM:
        raise invalid(
            f"ensemble scheduling cannot be set for model '{name}' whose platform is not {ENSEMBLE_PLATFORM}; "
            f"got '{config.platform}'"
        )
    if config.instance_group:
        raise invalid(f"instance group should not be specified for ensemble '{name}'")
    if config.HasField("optimization"):
        raise invalid(f"optimization should not be specified for ensemble '{name}'")
    if config.model_warmup:
        raise invalid(f"model_warmup can not be specified for ensemble '{name}'")
    if not config.ensemble_scheduling.step:
        raise invalid(f"must specify 'step' for ensemble '{name}'")
    tensors = _linked(config)
    _check_inputs(config, tensors)
    _check_outputs(config, tensors)
    outputs = {output.name for output in config.output}
    for tensor in tensors.values():
        if tensor.name not in outputs and (not tensor.ready or not tensor.after):
            raise invalid(f"ensemble tensor '{tensor.name}' is unused in ensemble '{name}'")


def _linked(config: Message) -> dict[str, _Tensor]:
    """All tensors by name."""
    tensors: dict[str, _Tensor] = {}
    for index, step in enumerate(config.ensemble_scheduling.step):
        for part in ("model_name", "input_map", "output_map"):
            if not getattr(step, part):
                raise invalid(f"must specify '{part}' in step {index} of ensemble '{config.name}'")
        made = []
        for name in sorted(step.output_map.values()):
            tensor = tensors.setdefault(name, _Tensor(name))
            if tensor.is_output:
                raise invalid(
                    f"ensemble tensor '{name}' can appear in an output map only once for ensemble '{config.name}' "
                    f"step {index}"
                )
            tensor.is_output = True
            made.append(tensor)
        for name in sorted(step.input_map.values()):
            tensor = tensors.setdefault(name, _Tensor(name))
            for each in made:
                each.before.append(tensor)
                tensor.after.append(each)
    return tensors


def _check_inputs(config: Message, tensors: dict[str, _Tensor]) -> None:
    """Find out which tensors can be made."""
    open_tensors: list[_Tensor] = []
    for given in config.input:
        tensor = tensors.get(given.name)
        if tensor is None:
            # The quote that is not opened is Triton's.
            raise invalid(f"ensemble input '{given.name}' for ensemble {config.name}' is not used")
        if tensor.is_output:
            raise invalid(
                f"ensemble tensor '{given.name}' is an input of ensemble '{config.name}' and an output of one of its "
                "steps; give them different names"
            )
        tensor.ready = True
        open_tensors.append(tensor)
    while open_tensors:
        for following in open_tensors.pop().after:
            if not following.ready and all(each.ready for each in following.before):
                following.ready = True
                open_tensors.append(following)


def _check_outputs(config: Message, tensors: dict[str, _Tensor]) -> None:
    inputs = {given.name for given in config.input}
    for output in config.output:
        tensor = tensors.get(output.name)
        if tensor is None:
            raise invalid(f"ensemble output '{output.name}' for ensemble {config.name}' is not used")
        if output.name in inputs:
            raise invalid(
                f"ensemble output '{output.name}' is an input of ensemble '{config.name}' as well; let a step copy it"
            )
        if not tensor.ready:
            raise _not_written(config, tensor)


def _not_written(config: Message, tensor: _Tensor) -> TisError:
    text = f"output '{tensor.name}' for ensemble '{config.name}' is not written"
    # Steps may wait for each other in a circle.
    seen = {tensor}
    source = tensor
    while True:
        before = next((each for each in source.before if not each.ready and each not in seen), None)
        if before is None:
            break
        source = before
        seen.add(source)
    if source is not tensor:
        text += f": at least one of its depending tensors, '{source.name}', is not connected"
    return invalid(text)
