"""Completing a config from what a model itself declares. Rules here, reading of model files in the backends.

`completed` is the rule of Triton's ONNX Runtime backend (AutoCompleteConfig and below), and fits every backend whose model
files carry a full signature. `merged` is how the core takes over what any backend proposes (TritonModel::UpdateModelConfig).
"""

from typing import Final

from tis.config.defaults import normalized
from tis.config.proto import Message, copy_of, model_config_pb2
from tis.contracts.datatypes import ELEMENT_BYTES, to_config
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import internal, invalid

DEFAULT_MAX_BATCH_SIZE: Final = 4


def needs_completion(config: Message) -> bool:
    """False where the config lists both sides: then nothing at all is completed, neither batch size nor scheduler."""
    return not ((config.input or config.batch_input) and config.output)


def completed(
    config: Message, signature: ModelSignature, *, default_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
) -> Message:
    """A normalized copy with batch size, scheduler and the missing side taken from the model.

    Batchable is a model whose inputs and outputs all start with a variable dimension, unless the signature says that this
    means nothing.

    Raises:
        TisError: INVALID_ARG when the config wants batches and the model cannot; INTERNAL when the model has a tensor of a
            datatype that the protocol does not know.
    """
    if not needs_completion(config):
        return copy_of(config)
    config = copy_of(config)
    fixed = [tensor for tensor in (*signature.inputs, *signature.outputs) if tensor.shape[:1] != (-1,)]
    if fixed and config.max_batch_size != 0:
        raise invalid(
            f"autofill failed for model '{config.name}': model does not support batching while non-zero max_batch_size "
            f"is specified; got max_batch_size {config.max_batch_size}, but the first dimension of tensor "
            f"'{fixed[0].name}' {_spell(fixed[0].shape)} is not variable"
        )
    if not fixed:
        if config.max_batch_size == 0 and signature.first_is_batch:
            config.max_batch_size = max(default_max_batch_size, 0)
        if config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None:
            config.dynamic_batching.SetInParent()
    # Batch inputs count as inputs: a config that lists these alone has to list the others itself.
    inputs = () if config.batch_input else signature.inputs
    own = _sequence_tensors(config)
    for side, tensors in ((config.input, inputs), (config.output, signature.outputs)):
        if not side:
            for tensor in tensors:
                if tensor.name not in own:
                    _declare(side.add(), tensor, config)
    return normalized(config)


def merged(config: Message, proposed: Message, *, adopts_groups: bool = False) -> Message:
    """A normalized copy that takes from a backend's proposal what a backend may decide, and nothing else.

    That is max_batch_size, input, output, the scheduler where none was chosen, and whether the model is decoupled; beyond
    Triton, with `adopts_groups`, instance groups, which a function that is a model declares.

    Raises:
        TisError: INTERNAL when the proposal has another scheduler than the config.
    """
    config = copy_of(config)
    config.max_batch_size = proposed.max_batch_size
    for field in ("input", "output"):
        config.ClearField(field)
        getattr(config, field).extend(getattr(proposed, field))
    chosen, offered = config.WhichOneof("scheduling_choice"), proposed.WhichOneof("scheduling_choice")
    if chosen is None and offered is not None:
        getattr(config, offered).CopyFrom(getattr(proposed, offered))
    elif chosen != offered:
        raise internal(
            f"Cannot update scheduling choice from {chosen} to {offered} when auto-completing; model '{config.name}'"
        )
    if adopts_groups:
        config.ClearField("instance_group")
        config.instance_group.extend(proposed.instance_group)
    if proposed.HasField("model_transaction_policy"):
        config.model_transaction_policy.decoupled = proposed.model_transaction_policy.decoupled
    return normalized(config)


def _sequence_tensors(config: Message) -> set[str]:
    """Names of the tensors that the server fills or keeps for sequences, which are none of the clients' own."""
    batching = config.sequence_batching
    states = {name for state in batching.state for name in (state.input_name, state.output_name)}
    return states | {tensor.name for tensor in batching.control_input}


def _declare(target: Message, tensor: TensorSignature, config: Message) -> None:
    """Writes a tensor of the model into an input or output, without the batch dimension."""
    if tensor.datatype not in ELEMENT_BYTES:
        raise internal(
            f"unsupported datatype {tensor.datatype} for tensor '{tensor.name}' for model '{config.name}'; expected one "
            f"of {', '.join(ELEMENT_BYTES)}"
        )
    target.name = tensor.name
    target.data_type = model_config_pb2.DataType.Value(to_config(tensor.datatype))
    dims = tensor.shape[1:] if config.max_batch_size > 0 else tensor.shape
    target.dims.extend(dims or (1,))
    if not dims and config.max_batch_size > 0:
        target.reshape.SetInParent()


def _spell(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
