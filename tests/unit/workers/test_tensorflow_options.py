"""What a config asks of TensorFlow, read without TensorFlow; and which graphs may keep what they are fed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tis.config.proto import ModelConfig
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError
from tis_workers.backends.base import LoadContext
from tis_workers.backends.tensorflow_keeping import keeps_inputs
from tis_workers.backends.tensorflow_options import Options, options


def read(
    folder: Path = Path(), *, config: Any = None, kind: str = "CPU", flags: Any = None, **parameters: str
) -> Options:
    instance = InstanceSpec("m_0", kind)
    spec = ModelSpec("m", 1, "tensorflow_savedmodel", "tensorflow", 0, (), (), model_path=str(folder))
    changed = {"parameters": parameters, "config": (config or ModelConfig()).SerializeToString()}
    given = {name: getattr(spec, name) for name in spec.__struct_fields__}
    return options(LoadContext(ModelSpec(**{**given, **changed}), instance, threads=3, backend_config=flags or {}))


def refusal(folder: Path = Path(), **more: Any) -> str:
    with pytest.raises(TisError) as caught:
        read(folder, **more)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_an_instance_has_its_share_of_the_cores_and_the_usual_graph() -> None:
    assert read() == Options(intra_op_threads=3)
    assert (read().inter_op_threads, read().tag, read().signature) == (1, "serve", "")


def test_parameters_are_those_of_tritons_backend() -> None:
    found = read(
        TF_NUM_INTRA_THREADS="2",
        TF_NUM_INTER_THREADS="-1",
        TF_USE_PER_SESSION_THREADS="Off",
        TF_GRAPH_TAG="serve1",
        TF_SIGNATURE_DEF="serving2",
        MAX_SESSION_SHARE_COUNT="2",
    )
    assert found == Options(2, -1, False, "serve1", "serving2")


def test_values_that_are_none_are_refused() -> None:
    assert "must be non-negative number for TensorFlow model 'm'" in refusal(TF_NUM_INTRA_THREADS="-1")
    assert "must be positive number for TensorFlow model 'm'" in refusal(MAX_SESSION_SHARE_COUNT="0")
    assert "must be an integer, got 'many'" in refusal(TF_NUM_INTER_THREADS="many")
    assert "must be true or false, got 'perhaps'" in refusal(TF_USE_PER_SESSION_THREADS="perhaps")
    for text in ("half", "1.5"):
        assert f"must be from 0 to 1, got '{text}'" in refusal(flags={"gpu-memory-fraction": text})


def test_the_backends_flags_say_how_gpus_are_used() -> None:
    found = read(flags={"gpu-memory-fraction": "0.5", "allow-soft-placement": "false", "version": "2"})
    assert (found.gpu_memory_fraction, found.soft_placement) == (0.5, False)
    assert (read().gpu_memory_fraction, read().soft_placement) == (0.0, True)


def test_operations_to_run_first_are_in_a_file_of_the_version_or_the_model(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "init.json").write_text('{"init_ops": ["of the model"]}')
    assert read(tmp_path, TF_INIT_OPS_FILE="init.json").init_ops == ("of the model",)
    (tmp_path / "1" / "init.json").write_text('{"init_ops": ["of the version"]}')
    assert read(tmp_path, TF_INIT_OPS_FILE="init.json").init_ops == ("of the version",)
    for text in ("no JSON", '["init"]', '{"init_ops": "init"}'):
        (tmp_path / "1" / "init.json").write_text(text)
        assert "must be JSON of the form" in refusal(tmp_path, TF_INIT_OPS_FILE="init.json")
    for name in ("absent.json", "1/init.json", "../outside.json"):
        assert f"got '{name}'" in refusal(tmp_path, TF_INIT_OPS_FILE=name)


def test_accelerators_are_those_of_the_gpu() -> None:
    config = ModelConfig()
    config.optimization.graph.level = 1
    config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="auto_mixed_precision")
    assert read(config=config, kind="GPU").auto_mixed_precision
    assert not read(config=config).auto_mixed_precision
    assert read(config=config).graph_level == 1
    config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="other")
    assert "unknown Execution Accelerator 'other' is requested" in refusal(config=config, kind="GPU")
    config.optimization.execution_accelerators.cpu_execution_accelerator.add(name="any")
    assert refusal(config=config) == "CPU Execution Accelerator is not supported in TensorFlow backend"


# ---- graphs that keep their inputs -----------------------------------------------------------------------------------


@dataclass
class Named:
    name: str


@dataclass
class Value:
    func: Named | None = None

    def HasField(self, field: str) -> bool:  # noqa: N802 - as protobuf has it
        return field == "func" and self.func is not None


@dataclass
class Node:
    name: str
    op: str
    input: tuple[str, ...] = ()
    attr: dict[str, Value] = field(default_factory=dict)


@dataclass
class Function:
    signature: Named
    node_def: list[Node]


@dataclass
class Library:
    function: list[Function]


@dataclass
class Graph:
    node: list[Node]
    library: Library


def keeps(*nodes: Node, functions: dict[str, list[Node]] | None = None) -> bool:
    library = Library([Function(Named(name), body) for name, body in (functions or {}).items()])
    stateful = {"VarHandleOp", "ReadVariableOp", "AssignVariableOp", "QueueEnqueueV2", "StatefulPartitionedCall"}
    return keeps_inputs(Graph(list(nodes), library), ["y:0"], stateful.__contains__)


def test_a_network_that_only_reads_its_variables_keeps_nothing() -> None:
    weights = Node("w", "VarHandleOp"), Node("read", "ReadVariableOp", ("w",))
    assert not keeps(*weights, Node("x", "Placeholder"), Node("y", "MatMul", ("x", "read:0")))


def test_a_graph_that_assigns_on_the_way_to_an_output_keeps_it_also_behind_a_control_edge() -> None:
    assert keeps(Node("x", "Placeholder"), Node("a", "AssignVariableOp", ("x",)), Node("y", "Neg", ("x", "^a")))
    assert keeps(Node("x", "Placeholder"), Node("a", "Assign", ("x",)), Node("y", "Neg", ("a",)))
    assert keeps(Node("q", "QueueEnqueueV2"), Node("y", "Neg", ("q",)))


def test_what_only_loading_a_model_assigns_does_not_count() -> None:
    assert not keeps(Node("x", "Placeholder"), Node("y", "Neg", ("x",)), Node("restore", "AssignVariableOp", ("x",)))


def test_functions_are_looked_into_however_deep_and_even_if_they_call_themselves() -> None:
    def call(name: str) -> Node:
        return Node("y", "StatefulPartitionedCall", attr={"f": Value(Named(name))})

    harmless = {"outer": [call("inner")], "inner": [Node("n", "Neg"), call("outer")], "unused": [Node("n", "Assign")]}
    assert not keeps(call("outer"), functions=harmless)
    assert keeps(call("outer"), functions={"outer": [call("inner")], "inner": [Node("n", "AssignVariableOp")]})
    assert keeps(Node("y", "body"), functions={"body": [Node("n", "AssignVariableOp")]})
