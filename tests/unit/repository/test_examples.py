"""Triton's own example models, where a copy of them lies beside this repository."""

import importlib.util
from pathlib import Path

import pytest

from tis.config.resolve import Surroundings, resolved
from tis.config.spec import model_spec
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.repository.definition import read_definition
from tis.repository.layout import find

EXAMPLES = Path(__file__).parents[3].parent / "shared" / "triton" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason=f"no example models at {EXAMPLES}")


def signature_of(path: Path) -> ModelSignature:
    """What an ONNX file declares."""
    onnx = pytest.importorskip("onnx")
    names = {1: "FP32", 3: "INT8", 6: "INT32", 8: "BYTES", 13: "UINT64"}

    def tensors(values: list[object]) -> tuple[TensorSignature, ...]:
        found = []
        for value in values:
            kind = value.type.tensor_type  # type: ignore[attr-defined]
            shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
            found.append(TensorSignature(value.name, names[kind.elem_type], shape))  # type: ignore[attr-defined]
        return tuple(found)

    graph = onnx.load(str(path)).graph
    return ModelSignature(inputs=tensors(graph.input), outputs=tensors(graph.output))


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")
@pytest.mark.parametrize("name", ["simple", "simple_int8", "simple_string"])
def test_an_example_loads_and_agrees_with_its_model(name: str) -> None:
    definition = read_definition(find([EXAMPLES], name))
    assert definition.unacted == ()
    (version,) = definition.selection.versions
    config = resolved(definition.config, Surroundings(), signature=signature_of(definition.model_file(version)))
    spec = model_spec(config, version=version, model_path=definition.path)
    assert [tensor.name for tensor in spec.inputs] == ["INPUT0", "INPUT1"]
    assert (spec.max_batch_size, spec.batcher, len(spec.instances)) == (8, None, 2)


@pytest.mark.parametrize(("name", "oldest"), [("simple_sequence", False), ("simple_dyna_sequence", True)])
def test_a_sequence_example_loads_with_its_controls(name: str, *, oldest: bool) -> None:
    definition = read_definition(find([EXAMPLES], name))
    assert definition.unacted == ()
    (version,) = definition.selection.versions
    config = resolved(definition.config, Surroundings(), signature=signature_of(definition.model_file(version)))
    spec = model_spec(config, version=version, model_path=definition.path)
    assert [tensor.name for tensor in spec.inputs] == ["INPUT"]
    assert spec.sequences is not None
    assert spec.sequences.oldest is oldest
    assert {"START", "READY"} <= {control.kind for control in spec.sequences.controls}
