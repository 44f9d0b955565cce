"""Does a completed config agree with the model's own signature? Names, datatypes and dimensions; else the load fails.

The rules and words are those of Triton's ONNX Runtime backend (ValidateInputs, ValidateOutputs, CompareDimsSupported); they
fit every backend whose model files carry a full signature.
"""

from collections.abc import Iterator, Sequence

from tis.config.batch_tensors import batch_input_faults, ragged_faults, scatters
from tis.config.fault import ConfigFault, Faults, Report, raise_it, tell
from tis.config.proto import Message, enum_name
from tis.config.scheduling import control_tensors
from tis.contracts.datatypes import from_config, to_config
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.contracts.scheduling_spec import ControlSpec
from tis.errors import Code


def check_agreement(config: Message, signature: ModelSignature, report: Report = raise_it) -> None:
    """Compares every configured input and output with the model.

    All the model's inputs must be configured, be batch inputs, or be there for its sequences; outputs may be left out. A
    variable dimension of an input accepts any configured one, while an output's dimensions must be equal. Compared is the
    shape the backend sees: `reshape` where given, with the batch dimension before it. Ragged inputs and batch outputs are in
    `batch_tensors.py`.

    Raises:
        TisError: INTERNAL for a sequence's control that the model does not have, else INVALID_ARG, naming model, tensor and
            both sides; the first, unless `report` keeps them.
    """
    tell(_faults(config, signature), report)


def _faults(config: Message, signature: ModelSignature) -> Faults:
    yield from _control_faults(config, signature)
    yield from _state_faults(config, signature)
    configured = [
        *(tensor.name for tensor in config.input),
        *(name for each in config.batch_input for name in each.target_name),
        *(control.name for control in control_tensors(config)),
        *(state.input_name for state in config.sequence_batching.state),
    ]
    if len(configured) != len(signature.inputs):
        theirs = [tensor.name for tensor in signature.inputs]
        yield ConfigFault(
            "input",
            f"unable to load model '{config.name}', configuration expects {len(configured)} inputs, model provides "
            f"{len(signature.inputs)}; configuration has {configured}, model has {theirs}",
            expected=f"{', '.join(theirs)}",
        )
    for side, ours, declared in (
        ("input", config.input, signature.inputs),
        ("output", config.output, signature.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in declared}
        for index, tensor in enumerate(ours):
            at = f"{side}[{index}]"
            if tensor.name in by_name:
                yield from _tensor_faults(config, at, tensor, by_name[tensor.name], side)
                continue
            names = ", ".join(sorted(by_name))
            yield ConfigFault(
                f"{at}.name",
                f"unexpected inference {side} '{tensor.name}', allowed {side}s are: {names}; model '{config.name}'",
                expected=f"one of {names}",
            )
    yield from batch_input_faults(config, signature)


def _control_faults(config: Message, signature: ModelSignature) -> Faults:
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    for at, control in _placed_controls(config):
        if control.name not in inputs:
            yield ConfigFault(
                f"{at}.name",
                f"configuration specified sequence control '{control.name}', but model does not provide that input; "
                f"model '{config.name}'",
                expected=f"one of {', '.join(sorted(inputs))}",
                code=Code.INTERNAL,
            )
            continue
        declared = inputs[control.name]
        dims = declared.shape[1:] if config.max_batch_size > 0 else declared.shape
        where = f"unable to load model '{config.name}', sequence control '{control.name}'"
        if len(dims) != 1 or dims[0] not in (1, -1):
            yield ConfigFault(at, f"{where} in model has dims {_spell(dims)} but dims [1] is expected")
        if control.datatype != declared.datatype:
            theirs = to_config(declared.datatype)
            yield ConfigFault(
                at,
                f"{where}, the model expects data-type {theirs} but the model configuration specifies data-type "
                f"{to_config(control.datatype)}",
                expected=theirs,
            )


def _placed_controls(config: Message) -> Iterator[tuple[str, ControlSpec]]:
    """Every control with the field of the tensor that it is given in."""
    controls = iter(control_tensors(config))
    for index, tensor in enumerate(config.sequence_batching.control_input):
        for _ in tensor.control:
            yield f"sequence_batching.control_input[{index}]", next(controls)


def _state_faults(config: Message, signature: ModelSignature) -> Faults:
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    for index, state in enumerate(config.sequence_batching.state):
        at = f"sequence_batching.state[{index}]"
        for name, declared, side in ((state.input_name, inputs, "input"), (state.output_name, outputs, "output")):
            if name in declared:
                yield from _datatype_faults(config, f"{at}.data_type", state, declared[name], "state")
                yield from _dims_faults(config, f"{at}.dims", name, declared[name].shape, tuple(state.dims), loose=True)
                continue
            names = ", ".join(sorted(declared))
            yield ConfigFault(
                f"{at}.{side}_name",
                f"unable to load model '{config.name}', state {side} '{name}' is not among the model's {side}s: {names}",
                expected=f"one of {names}",
            )


def _tensor_faults(config: Message, at: str, tensor: Message, declared: TensorSignature, side: str) -> Faults:
    if side == "input" and tensor.optional and config.max_batch_size != 0:
        yield ConfigFault(
            f"{at}.optional",
            f"unable to load model '{config.name}', optional input '{tensor.name}' is not supported for models that "
            "support batching",
            expected="false",
        )
    yield from _datatype_faults(config, f"{at}.data_type", tensor, declared, side)
    reshaped = tensor.HasField("reshape")
    dims = tuple(tensor.reshape.shape if reshaped else tensor.dims)
    field = f"{at}.reshape.shape" if reshaped else f"{at}.dims"
    if side == "input" and tensor.allow_ragged_batch:
        yield from ragged_faults(config, at, tensor, declared)
    elif side == "output" and scatters(config, tensor.name):
        # Only the elements count; the model may give them any shape.
        return
    elif declared.shape:
        yield from _dims_faults(config, field, tensor.name, declared.shape, dims, loose=side == "input")
    elif any(dim != 1 for dim in dims):
        yield ConfigFault(
            field,
            f"unable to load model '{config.name}', scalar tensor '{tensor.name}', should only provide 1 in the model "
            f"configuration when the model doesn't support batching. Model configuration provided: {_spell(dims)}.",
            expected="[1]",
        )


def _datatype_faults(config: Message, at: str, tensor: Message, declared: TensorSignature, what: str) -> Faults:
    configured, theirs = enum_name(tensor, "data_type"), to_config(declared.datatype)
    if from_config(configured) != declared.datatype:
        yield ConfigFault(
            at,
            f"unable to load model '{config.name}', configuration expects datatype {configured} for {what} "
            f"'{declared.name}', model provides {theirs}",
            expected=theirs,
        )


def _dims_faults(
    config: Message, at: str, name: str, model: tuple[int, ...], dims: tuple[int, ...], *, loose: bool
) -> Faults:
    where = f"model '{config.name}', tensor '{name}'"
    batching = config.max_batch_size > 0
    if batching and model[:1] != (-1,):
        yield ConfigFault(
            "max_batch_size",
            f"{where}: for the model to support batching the shape should have at least 1 dimension and the first "
            f"dimension must be -1; but shape expected by the model is {_spell(model)}",
            expected="0",
        )
        return
    full = (-1, *dims) if batching else dims
    if len(model) == len(full) and all(_fits(m, d, loose=loose) for m, d in zip(model, full, strict=True)):
        return
    shape = (
        f"(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete "
        f"shape {_spell(full)})"
        if batching
        else f"(shape {_spell(full)})"
    )
    yield ConfigFault(
        at,
        f"{where}: the model expects {len(model)} dimensions (shape {_spell(model)}) but the model configuration "
        f"specifies {len(full)} dimensions {shape}",
        expected=_spell(model[1:] if batching else model),
    )


def _fits(model: int, configured: int, *, loose: bool) -> bool:
    return model == configured or (model == -1 and loose)


def _spell(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
