"""Tiny ONNX models, made when the tests run: each shows one thing that a model may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tis.contracts.datatypes import to_config

Dims = Sequence[int | str]

#: ONNX element types by protocol name.
ELEMENT_TYPES: Final[dict[str, int]] = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

_OPSET: Final = 17
_IR_VERSION: Final = 8


@dataclass(frozen=True)
class Tensor:
    """An input or output: name, protocol datatype and dimensions with the batch dimension, where there is one."""

    name: str
    datatype: str
    dims: tuple[int | str, ...]

    def info(self) -> Any:
        """As ONNX has it."""
        return helper.make_tensor_value_info(self.name, ELEMENT_TYPES[self.datatype], list(self.dims))

    def config(self, *, batched: bool) -> str:
        """As config.pbtxt has it."""
        dims = self.dims[1:] if batched else self.dims
        listed = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in dims)
        return f'{{ name: "{self.name}" data_type: {to_config(self.datatype)} dims: [ {listed} ] }}'


@dataclass(frozen=True)
class Model:
    """A graph with the inputs and outputs that its config names."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Any, ...]
    constants: tuple[Any, ...] = ()

    def proto(self) -> Any:
        """The whole ONNX model."""
        graph = helper.make_graph(
            list(self.nodes),
            "test",
            [tensor.info() for tensor in self.inputs],
            [tensor.info() for tensor in self.outputs],
            list(self.constants),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)

    def write(self, repository: Path, name: str, *, max_batch_size: int = 0, extra: str = "", version: int = 1) -> None:
        """Add it to a repository with a full config; `extra` is appended (instances, batching and so on)."""
        batched = max_batch_size > 0
        text = ""
        for side, tensors in (("input", self.inputs), ("output", self.outputs)):
            text += "".join(f"{side} [ {tensor.config(batched=batched)} ]\n" for tensor in tensors)
        self.write_with(repository, name, text + extra, max_batch_size=max_batch_size, version=version)

    def write_with(self, repository: Path, name: str, text: str, *, max_batch_size: int = 0, version: int = 1) -> None:
        """Add it to a repository with a config of which only the head is made here."""
        self.write_version(repository, name, version)
        head = f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {max_batch_size}\n'
        (repository / name / "config.pbtxt").write_text(head + text)

    def write_version(self, repository: Path, name: str, version: int) -> None:
        """Add only the model file of a version."""
        folder = repository / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.proto(), folder / "model.onnx")


def identity(datatype: str, dims: Dims) -> Model:
    """INPUT0 to OUTPUT0 unchanged."""
    return identities({"0": datatype}, dims)


def identities(datatypes: dict[str, str], dims: Dims) -> Model:
    """INPUT<key> to OUTPUT<key> unchanged, for every key."""
    return Model(
        tuple(Tensor(f"INPUT{key}", datatype, tuple(dims)) for key, datatype in datatypes.items()),
        tuple(Tensor(f"OUTPUT{key}", datatype, tuple(dims)) for key, datatype in datatypes.items()),
        tuple(helper.make_node("Identity", [f"INPUT{key}"], [f"OUTPUT{key}"]) for key in datatypes),
    )


def from_bf16() -> Model:
    """BF16 as FP32, beside strings that pass unchanged."""
    return Model(
        (Tensor("INPUT0", "BF16", (-1,)), Tensor("INPUT1", "BYTES", (-1,))),
        (Tensor("OUTPUT0", "FP32", (-1,)), Tensor("OUTPUT1", "BYTES", (-1,))),
        (
            helper.make_node("Cast", ["INPUT0"], ["OUTPUT0"], to=TensorProto.FLOAT),
            helper.make_node("Identity", ["INPUT1"], ["OUTPUT1"]),
        ),
    )


def add_sub(dims: Dims = ("b", 16), datatype: str = "INT32") -> Model:
    """Triton's example model: the sum and the difference of two tensors."""
    return Model(
        tuple(Tensor(f"INPUT{index}", datatype, tuple(dims)) for index in range(2)),
        tuple(Tensor(f"OUTPUT{index}", datatype, tuple(dims)) for index in range(2)),
        (
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
        ),
    )


def add_constant(value: int, dims: Dims = ("b", 4)) -> Model:
    """INPUT0 plus a number, so that an answer tells which version gave it."""
    return Model(
        (Tensor("INPUT0", "INT32", tuple(dims)),),
        (Tensor("OUTPUT0", "INT32", tuple(dims)),),
        (helper.make_node("Add", ["INPUT0", "value"], ["OUTPUT0"]),),
        (numpy_helper.from_array(np.array(value, np.int32), "value"),),
    )


def doubled() -> Model:
    """OUTPUT0 is INPUT0 twice, one behind the other in the second dimension."""
    return Model(
        (Tensor("INPUT0", "FP32", ("b", "n")),),
        (Tensor("OUTPUT0", "FP32", ("b", "m")),),
        (helper.make_node("Concat", ["INPUT0", "INPUT0"], ["OUTPUT0"], axis=1),),
    )


def gather() -> Model:
    """OUTPUT0 = 10 * INDEX for an INDEX of 0 to 9; the execution of anything else fails."""
    return Model(
        (Tensor("INDEX", "INT64", ("b", 1)),),
        (Tensor("OUTPUT0", "INT64", ("b", 1)),),
        (helper.make_node("Gather", ["table", "INDEX"], ["OUTPUT0"]),),
        (numpy_helper.from_array(np.arange(0, 100, 10, dtype=np.int64), "table"),),
    )


def nonzero() -> Model:
    """The positions of the elements that are not zero: a shape that depends on the data."""
    return Model(
        (Tensor("INPUT0", "FP32", (-1,)),),
        (Tensor("OUTPUT0", "INT64", (1, "n")),),
        (helper.make_node("NonZero", ["INPUT0"], ["OUTPUT0"]),),
    )


def slow() -> Model:
    """Echoes ROUNDS after as many rounds of work as its largest element says; see `tests.harness.pace`."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state_in", "matrix"], ["product"]),
            helper.make_node("Tanh", ["product"], ["state_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [64, 64]),
        ],
    )
    return Model(
        (Tensor("ROUNDS", "INT64", ("b", 1)),),
        (Tensor("ECHO", "INT64", ("b", 1)),),
        (
            helper.make_node("ReduceMax", ["ROUNDS"], ["most"], keepdims=0),
            helper.make_node("Loop", ["most", "", "matrix"], ["state"], body=body),
            # The work flows into the answer as a zero, so that it cannot be optimised away.
            helper.make_node("ReduceMax", ["state"], ["peak"], keepdims=0),
            helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
            helper.make_node("Cast", ["nothing"], ["none"], to=TensorProto.INT64),
            helper.make_node("Add", ["ROUNDS", "none"], ["ECHO"]),
        ),
        (
            numpy_helper.from_array(np.eye(64, dtype=np.float32), "matrix"),
            numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        ),
    )
