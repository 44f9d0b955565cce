"""Does a model take its ragged inputs and batch inputs as the config says? Part of `tis.config.agreement`.

The rules for ragged inputs and batch outputs are those of Triton's ONNX Runtime backend (ValidateInputs, ValidateOutputs).
Batch inputs it does not look at, so that a wrong one fails every request; here it fails the load.
"""

from typing import Final

from tis.config.proto import Message, enum_name
from tis.contracts.datatypes import from_config, to_config
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import invalid

#: Kinds of batch inputs that have two dimensions; the others have one.
_TWO_DIMENSIONS: Final = frozenset({"BATCH_ITEM_SHAPE"})


def check_ragged_input(config: Message, tensor: Message, declared: TensorSignature) -> None:
    """A ragged input must have the shape [-1] in the model, whatever its dims: elements of all requests in a row.

    Raises:
        TisError: INVALID_ARG in Triton's words.
    """
    expectation = f"unable to load model '{config.name}', configuration expects model provides input with shape [-1]"
    if tensor.optional:
        raise invalid(f"{expectation} for ragged input '{tensor.name}', which is not supported for optional input")
    if declared.shape != (-1,):
        # Triton has two spaces here.
        raise invalid(f"{expectation}  for ragged input '{tensor.name}', model provides {_spell(declared.shape)}")


def check_batch_inputs(config: Message, signature: ModelSignature) -> None:
    """Every target of a batch input must be an input of the model, of the same datatype and number of dimensions.

    Raises:
        TisError: INVALID_ARG, naming the target and both sides.
    """
    declared = {tensor.name: tensor for tensor in signature.inputs}
    requested = {tensor.name for tensor in config.input}
    for batch_input in config.batch_input:
        kind = enum_name(batch_input, "kind")
        rank = 2 if kind in _TWO_DIMENSIONS else 1
        data_type = enum_name(batch_input, "data_type")
        for name in batch_input.target_name:
            where = f"unable to load model '{config.name}', batch input '{name}' of kind '{kind}'"
            tensor = declared.get(name)
            if tensor is None:
                raise invalid(f"{where} is no input of the model, whose inputs are: {', '.join(sorted(declared))}")
            if name in requested:
                raise invalid(f"{where} is also an input of requests; take it out of one of the two")
            if from_config(data_type) != tensor.datatype:
                raise invalid(f"{where} has datatype {data_type}, model provides {to_config(tensor.datatype)}")
            if tensor.shape and len(tensor.shape) != rank:
                raise invalid(f"{where} has {rank} dimensions, model provides {_spell(tensor.shape)}")


def scatters(config: Message, output: str) -> bool:
    """True for an output that is cut by the shapes of an input, as `batch_output` says."""
    return any(output in batch_output.target_name for batch_output in config.batch_output)


def _spell(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
