"""Does a completed config agree with the model's own signature? Names, datatypes and dimensions; else the load fails.

The rules and words are those of Triton's ONNX Runtime backend (ValidateInputs, ValidateOutputs, CompareDimsSupported); they
fit every backend whose model files carry a full signature.
"""

from collections.abc import Sequence

from tis.config.batch_tensors import check_batch_inputs, check_ragged_input, scatters
from tis.config.proto import Message, enum_name
from tis.config.scheduling import control_tensors
from tis.contracts.datatypes import from_config, to_config
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.contracts.scheduling_spec import ControlSpec
from tis.errors import internal, invalid


def check_agreement(config: Message, signature: ModelSignature) -> None:
    """Compares every configured input and output with the model.

    All the model's inputs must be configured, be batch inputs, or be there for its sequences; outputs may be left out. A
    variable dimension of an input accepts any configured one, while an output's dimensions must be equal. Compared is the
    shape the backend sees: `reshape` where given, with the batch dimension before it. Ragged inputs and batch outputs are in
    `batch_tensors.py`.

    Raises:
        TisError: INVALID_ARG, naming model, tensor and both sides.
    """
    configured = [
        *(tensor.name for tensor in config.input),
        *(name for each in config.batch_input for name in each.target_name),
        *check_sequence_tensors(config, signature),
    ]
    if len(configured) != len(signature.inputs):
        raise invalid(
            f"unable to load model '{config.name}', configuration expects {len(configured)} inputs, model provides "
            f"{len(signature.inputs)}; configuration has {configured}, "
            f"model has {[tensor.name for tensor in signature.inputs]}"
        )
    for side, ours, theirs in (
        ("input", config.input, signature.inputs),
        ("output", config.output, signature.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in theirs}
        for tensor in ours:
            if tensor.name not in by_name:
                raise invalid(
                    f"unexpected inference {side} '{tensor.name}', allowed {side}s are: {', '.join(sorted(by_name))}; "
                    f"model '{config.name}'"
                )
            _compare(config, tensor, by_name[tensor.name], side)
    check_batch_inputs(config, signature)


def check_sequence_tensors(config: Message, signature: ModelSignature) -> list[str]:
    """Compares control tensors and states with the model. Returns the names of the inputs among them.

    Raises:
        TisError: INTERNAL for a control that the model does not have, else INVALID_ARG.
    """
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    names: list[str] = []
    for control in control_tensors(config):
        names.append(control.name)
        if control.name not in inputs:
            raise internal(
                f"configuration specified sequence control '{control.name}', but model does not provide that input; "
                f"model '{config.name}'"
            )
        _compare_control(config, control, inputs[control.name])
    for state in config.sequence_batching.state:
        names.append(state.input_name)
        for name, declared, side in ((state.input_name, inputs, "input"), (state.output_name, outputs, "output")):
            if name not in declared:
                raise invalid(
                    f"unable to load model '{config.name}', state {side} '{name}' is not among the model's {side}s: "
                    f"{', '.join(sorted(declared))}"
                )
            _compare_state(config, state, declared[name])
    return names


def _compare_control(config: Message, control: ControlSpec, declared: TensorSignature) -> None:
    dims = declared.shape[1:] if config.max_batch_size > 0 else declared.shape
    if len(dims) != 1 or dims[0] not in (1, -1):
        raise invalid(
            f"unable to load model '{config.name}', sequence control '{control.name}' in model has dims {_spell(dims)} "
            "but dims [1] is expected"
        )
    if control.datatype != declared.datatype:
        raise invalid(
            f"unable to load model '{config.name}', sequence control '{control.name}', the model expects data-type "
            f"{to_config(declared.datatype)} but the model configuration specifies data-type {to_config(control.datatype)}"
        )


def _compare_state(config: Message, state: Message, declared: TensorSignature) -> None:
    configured = enum_name(state, "data_type")
    if from_config(configured) != declared.datatype:
        raise invalid(
            f"unable to load model '{config.name}', configuration expects datatype {configured} for state "
            f"'{declared.name}', model provides {to_config(declared.datatype)}"
        )
    _compare_dims(config, declared.name, declared.shape, tuple(state.dims), loose=True)


def _compare(config: Message, tensor: Message, declared: TensorSignature, side: str) -> None:
    if side == "input" and tensor.optional and config.max_batch_size != 0:
        raise invalid(
            f"unable to load model '{config.name}', optional input '{tensor.name}' is not supported for models that "
            "support batching"
        )
    configured = enum_name(tensor, "data_type")
    if from_config(configured) != declared.datatype:
        raise invalid(
            f"unable to load model '{config.name}', configuration expects datatype {configured} for {side} "
            f"'{tensor.name}', model provides {to_config(declared.datatype)}"
        )
    dims = tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    if side == "input" and tensor.allow_ragged_batch:
        check_ragged_input(config, tensor, declared)
    elif side == "output" and scatters(config, tensor.name):
        # Only the elements count; the model may give them any shape.
        return
    elif declared.shape:
        _compare_dims(config, tensor.name, declared.shape, dims, loose=side == "input")
    elif any(dim != 1 for dim in dims):
        raise invalid(
            f"unable to load model '{config.name}', scalar tensor '{tensor.name}', should only provide 1 in the model "
            f"configuration when the model doesn't support batching. Model configuration provided: {_spell(dims)}."
        )


def _compare_dims(config: Message, name: str, model: tuple[int, ...], dims: tuple[int, ...], *, loose: bool) -> None:
    where = f"model '{config.name}', tensor '{name}'"
    batching = config.max_batch_size > 0
    if batching and model[0] != -1:
        raise invalid(
            f"{where}: for the model to support batching the shape should have at least 1 dimension and the first "
            f"dimension must be -1; but shape expected by the model is {_spell(model)}"
        )
    full = (-1, *dims) if batching else dims
    if len(model) == len(full) and all(_fits(m, d, loose=loose) for m, d in zip(model, full, strict=True)):
        return
    shape = (
        f"(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete "
        f"shape {_spell(full)})"
        if batching
        else f"(shape {_spell(full)})"
    )
    raise invalid(
        f"{where}: the model expects {len(model)} dimensions (shape {_spell(model)}) but the model configuration "
        f"specifies {len(full)} dimensions {shape}"
    )


def _fits(model: int, configured: int, *, loose: bool) -> bool:
    return model == configured or (model == -1 and loose)


def _spell(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
