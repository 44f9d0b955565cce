"""Does a model take its ragged inputs and batch inputs as the config says? Part of `tis.config.agreement`.

The rules for ragged inputs and batch outputs are those of Triton's ONNX Runtime backend (ValidateInputs, ValidateOutputs).
Batch inputs it does not look at, so that a wrong one fails every request; here it fails the load.
"""

from typing import Final

from tis.config.fault import ConfigFault, Faults
from tis.config.proto import Message, enum_name
from tis.contracts.datatypes import from_config, to_config
from tis.contracts.model_spec import ModelSignature, TensorSignature

#: Kinds of batch inputs that have two dimensions; the others have one.
_TWO_DIMENSIONS: Final = frozenset({"BATCH_ITEM_SHAPE"})


def ragged_faults(config: Message, at: str, tensor: Message, declared: TensorSignature) -> Faults:
    """A ragged input must have the shape [-1] in the model, whatever its dims: elements of all requests in a row.

    Args:
        config: the config.
        at: the input as a field of it.
        tensor: the input.
        declared: the model's.
    """
    expectation = f"unable to load model '{config.name}', configuration expects model provides input with shape [-1]"
    if tensor.optional:
        text = f"{expectation} for ragged input '{tensor.name}', which is not supported for optional input"
        yield ConfigFault(f"{at}.optional", text, expected="false")
    if declared.shape != (-1,):
        # Triton has two spaces here.
        text = f"{expectation}  for ragged input '{tensor.name}', model provides {_spell(declared.shape)}"
        yield ConfigFault(f"{at}.allow_ragged_batch", text, expected="false")


def batch_input_faults(config: Message, signature: ModelSignature) -> Faults:
    """Every target of a batch input must be an input of the model, of the same datatype and number of dimensions."""
    declared = {tensor.name: tensor for tensor in signature.inputs}
    requested = {tensor.name for tensor in config.input}
    for index, batch_input in enumerate(config.batch_input):
        kind = enum_name(batch_input, "kind")
        rank = 2 if kind in _TWO_DIMENSIONS else 1
        data_type = enum_name(batch_input, "data_type")
        for place, name in enumerate(batch_input.target_name):
            at = f"batch_input[{index}].target_name[{place}]"
            where = f"unable to load model '{config.name}', batch input '{name}' of kind '{kind}'"
            tensor = declared.get(name)
            if tensor is None:
                names = ", ".join(sorted(declared))
                text = f"{where} is no input of the model, whose inputs are: {names}"
                yield ConfigFault(at, text, expected=f"one of {names}")
                continue
            if name in requested:
                yield ConfigFault(at, f"{where} is also an input of requests; take it out of one of the two")
            if from_config(data_type) != tensor.datatype:
                theirs = to_config(tensor.datatype)
                text = f"{where} has datatype {data_type}, model provides {theirs}"
                yield ConfigFault(f"batch_input[{index}].data_type", text, expected=theirs)
            if tensor.shape and len(tensor.shape) != rank:
                yield ConfigFault(at, f"{where} has {rank} dimensions, model provides {_spell(tensor.shape)}")


def scatters(config: Message, output: str) -> bool:
    """True for an output that is cut by the shapes of an input, as `batch_output` says."""
    return any(output in batch_output.target_name for batch_output in config.batch_output)


def _spell(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
