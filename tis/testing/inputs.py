"""Inputs for a model that nobody has given any: a sample of its `model_warmup`, or random data of its datatypes and dims."""

from collections.abc import Mapping
from math import prod
from typing import Literal

import numpy as np

from tis.contracts.arrays import NUMPY
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import WarmupInputSpec, WarmupSpec
from tis.errors import TisError, invalid
from tis.testing.answers import Array, ModelError
from tis_workers.request import reshaped
from tis_workers.warmup import make_sample

Data = Literal["random", "zero"]


def inputs_for(
    spec: ModelSpec, given: Mapping[str, Array | str], shapes: Mapping[str, tuple[int, ...]], data: Data
) -> tuple[dict[str, Array], str]:
    """The inputs of a request, and where those come from that were not given.

    Args:
        spec: the model.
        given: inputs as arrays, or as texts of numbers or strings between commas.
        shapes: dims of inputs without the batch dimension; where absent, variable dims are 1.
        data: what there is instead of samples.

    Raises:
        ModelError: an input that the model does not have, or that cannot have the shape.
    """
    for name in (*given, *shapes):
        if name not in spec.inputs_by_name:
            names = ", ".join(spec.inputs_by_name)
            raise _refused(f"model '{spec.name}' has no input '{name}'; it has {names}")
    needed = [each for each in spec.inputs if not each.optional or each.name in shapes]
    source: str = data
    try:
        if spec.warmups and not shapes:
            source = f"warm-up sample '{spec.warmups[0].name}'"
            made = _of_sample(spec, spec.warmups[0])
        else:
            made = _filled(spec, needed, shapes, data)
        inputs = {each.name: made[each.name] for each in spec.inputs if each.name in made and each.name not in given}
        for name, value in given.items():
            inputs[name] = _parsed(spec, name, value, shapes) if isinstance(value, str) else value
    except TisError as error:
        raise ModelError(error.code, error.message) from None
    return inputs, source if inputs.keys() - given.keys() else ""


def _filled(
    spec: ModelSpec, needed: list[TensorSpec], shapes: Mapping[str, tuple[int, ...]], data: Data
) -> dict[str, Array]:
    given = [WarmupInputSpec(each.name, each.datatype, _dims(each, shapes), data) for each in needed]
    return _of_sample(spec, WarmupSpec(data, 1, tuple(given)))


def _of_sample(spec: ModelSpec, sample: WarmupSpec) -> dict[str, Array]:
    """A sample as a client would send it: a sample is made as the backend sees it."""
    made = make_sample(spec, sample).inputs
    found: dict[str, Array] = {}
    for name, array in made.items():
        tensor = spec.inputs_by_name.get(name)
        if tensor is None:
            # A control of a sequence, which the server adds.
            continue
        if tensor.reshape is not None:
            shape = reshaped(array.shape, tensor.reshape, tensor.shape, batched=spec.max_batch_size > 0)
            array = array.reshape(shape)
        found[name] = array
    return found


def _dims(tensor: TensorSpec, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    return shapes.get(tensor.name) or tuple(1 if dim == -1 else dim for dim in tensor.shape)


def _parsed(spec: ModelSpec, name: str, text: str, shapes: Mapping[str, tuple[int, ...]]) -> Array:
    """Values between commas, in the shape that was asked for, else in that of the config: one variable dim takes them all."""
    tensor = spec.inputs_by_name[name]
    words = text.split(",") if text else []
    values: Array
    if tensor.datatype == "BYTES":
        values = np.array([word.encode() for word in words], np.object_)
    elif tensor.datatype == "BOOL":
        values = np.array([word.strip().lower() in ("1", "true", "t") for word in words])
    else:
        try:
            values = np.array(words).astype(NUMPY[tensor.datatype])
        except (ValueError, OverflowError) as error:
            raise invalid(f"input '{name}' takes {tensor.datatype}: {error}") from None
    dims = shapes.get(name) or tensor.shape
    if dims.count(-1) > 1:
        dims = _dims(tensor, shapes)
        dims = (*dims[:-1], -1)
    lead = (1,) if spec.max_batch_size > 0 else ()
    try:
        return values.reshape((*lead, *dims))
    except ValueError:
        known = prod(dim for dim in dims if dim != -1)
        raise invalid(
            f"input '{name}' has {len(values)} values, which are no tensor of the dims {list(dims)}; expected "
            f"{known if -1 not in dims else f'a multiple of {known}'}"
        ) from None


def _refused(text: str) -> ModelError:
    error = invalid(text)
    return ModelError(error.code, error.message)
