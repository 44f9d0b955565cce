"""Rejections of `ensemble_scheduling` that need only the ensemble's own config: parts, and the flow of tensors between steps.

Texts begin with Triton's words (ValidateEnsembleSchedulingConfig). What depends on the steps' models is `ensemble_steps.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tis.config.backends import ENSEMBLE_PLATFORM
from tis.config.fault import ConfigFault, Faults, at_key
from tis.config.proto import Message


@dataclass(slots=True, eq=False)
class _Tensor:
    """A tensor of the ensemble, linked with those that its step reads and those that are made from it."""

    name: str
    #: The map's entry that names it first: the field to blame.
    at: str
    is_output: bool = False
    #: It can be made from the ensemble's inputs.
    ready: bool = False
    before: "list[_Tensor]" = field(default_factory=list)
    after: "list[_Tensor]" = field(default_factory=list)


def ensemble_faults(config: Message) -> Faults:
    """What an ensemble must not have, steps that lack a part, and tensors that nobody makes or reads; all INVALID_ARG.

    The flow of tensors is looked at once every step is whole: before, it would be faults that follow from others.
    """
    name = config.name
    if config.platform != ENSEMBLE_PLATFORM:
        yield ConfigFault(
            "platform",
            f"ensemble scheduling cannot be set for model '{name}' whose platform is not {ENSEMBLE_PLATFORM}; "
            f"got '{config.platform}'",
            expected=ENSEMBLE_PLATFORM,
        )
    for at, given, text in (
        ("instance_group", bool(config.instance_group), "instance group should not be specified"),
        ("optimization", config.HasField("optimization"), "optimization should not be specified"),
        ("model_warmup", bool(config.model_warmup), "model_warmup can not be specified"),
    ):
        if given:
            yield ConfigFault(at, f"{text} for ensemble '{name}'", expected="nothing")
    if not config.ensemble_scheduling.step:
        yield ConfigFault("ensemble_scheduling", f"must specify 'step' for ensemble '{name}'", expected="a step")
        return
    tensors: dict[str, _Tensor] = {}
    whole = True
    for fault in _link(config, tensors):
        whole = False
        yield fault
    if whole:
        yield from _flow_faults(config, tensors)


def _link(config: Message, tensors: dict[str, _Tensor]) -> Faults:
    """Put all tensors there by name, linked."""
    for index, step in enumerate(config.ensemble_scheduling.step):
        at = f"ensemble_scheduling.step[{index}]"
        for part in ("model_name", "input_map", "output_map"):
            if not getattr(step, part):
                text = f"must specify '{part}' in step {index} of ensemble '{config.name}'"
                yield ConfigFault(f"{at}.{part}", text, expected="something")
        made = []
        for name, key in _by_tensor(step.output_map):
            entry = at_key(f"{at}.output_map", key)
            tensor = tensors.setdefault(name, _Tensor(name, entry))
            if tensor.is_output:
                yield ConfigFault(
                    entry,
                    f"ensemble tensor '{name}' can appear in an output map only once for ensemble '{config.name}' "
                    f"step {index}",
                    expected="a tensor that no other step makes",
                )
            tensor.is_output = True
            made.append(tensor)
        for name, key in _by_tensor(step.input_map):
            tensor = tensors.setdefault(name, _Tensor(name, at_key(f"{at}.input_map", key)))
            for each in made:
                each.before.append(tensor)
                tensor.after.append(each)


def _by_tensor(names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The tensors of a map in order, each with its key."""
    return sorted((tensor, key) for key, tensor in names.items())


def _flow_faults(config: Message, tensors: dict[str, _Tensor]) -> Faults:
    yield from _input_faults(config, tensors)
    #: That these cannot be made has been told.
    told: set[_Tensor] = set()
    yield from _output_faults(config, tensors, told)
    outputs = {output.name for output in config.output}
    for tensor in tensors.values():
        if tensor.name not in outputs and (not tensor.ready or not tensor.after) and tensor not in told:
            yield ConfigFault(tensor.at, f"ensemble tensor '{tensor.name}' is unused in ensemble '{config.name}'")


def _input_faults(config: Message, tensors: dict[str, _Tensor]) -> Faults:
    """Finds out which tensors can be made, too."""
    open_tensors: list[_Tensor] = []
    for index, given in enumerate(config.input):
        tensor = tensors.get(given.name)
        if tensor is None:
            # The quote that is not opened is Triton's.
            text = f"ensemble input '{given.name}' for ensemble {config.name}' is not used"
            yield ConfigFault(f"input[{index}]", text, expected="a tensor that a step reads")
            continue
        if tensor.is_output:
            yield ConfigFault(
                f"input[{index}]",
                f"ensemble tensor '{given.name}' is an input of ensemble '{config.name}' and an output of one of its "
                "steps; give them different names",
                expected="a tensor that no step makes",
            )
        tensor.ready = True
        open_tensors.append(tensor)
    while open_tensors:
        for following in open_tensors.pop().after:
            if not following.ready and all(each.ready for each in following.before):
                following.ready = True
                open_tensors.append(following)


def _output_faults(config: Message, tensors: dict[str, _Tensor], told: set[_Tensor]) -> Faults:
    """Notes what an output waits for that is not written, too."""
    inputs = {given.name for given in config.input}
    for index, output in enumerate(config.output):
        at = f"output[{index}]"
        tensor = tensors.get(output.name)
        if tensor is None:
            text = f"ensemble output '{output.name}' for ensemble {config.name}' is not used"
            yield ConfigFault(at, text, expected="a tensor that a step makes")
        elif output.name in inputs:
            yield ConfigFault(
                at,
                f"ensemble output '{output.name}' is an input of ensemble '{config.name}' as well; let a step copy it",
                expected="a tensor that a step makes",
            )
        elif not tensor.ready:
            yield _not_written(config, at, tensor)
            told |= _upstream(tensor)


def _not_written(config: Message, at: str, tensor: _Tensor) -> ConfigFault:
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
    if source is tensor:
        return ConfigFault(at, text)
    return ConfigFault(source.at, f"{text}: at least one of its depending tensors, '{source.name}', is not connected")


def _upstream(tensor: _Tensor) -> set[_Tensor]:
    """A tensor that cannot be made, with all such that it waits for."""
    found = {tensor}
    open_tensors = [tensor]
    while open_tensors:
        before = {each for each in open_tensors.pop().before if not each.ready} - found
        found |= before
        open_tensors.extend(before)
    return found
