"""Make the file of the example model `simple`: the sum and the difference of two rows of integers.

Run it from the root of the repository; it needs the `onnx` package:

    python tools/make_example_models.py

The examples that read text are trained instead, by `tools.text_detection.train` and `tools.text_recognition.train`.
"""

import argparse
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

COLUMNS: Final = 16
_OPSET: Final = 17
_IR_VERSION: Final = 8


def _tensor(name: str) -> Any:
    """Describe an input or output: any number of rows of integers."""
    return helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", COLUMNS])


def simple() -> Any:
    """Build OUTPUT0 = INPUT0 + INPUT1 and OUTPUT1 = INPUT0 - INPUT1."""
    graph = helper.make_graph(
        nodes=[
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"], name="sum"),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"], name="difference"),
        ],
        name="simple",
        inputs=[_tensor("INPUT0"), _tensor("INPUT1")],
        outputs=[_tensor("OUTPUT0"), _tensor("OUTPUT1")],
    )
    model = helper.make_model(
        graph,
        producer_name="tools.make_example_models",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Write the model into the repository of examples."""
    parser = argparse.ArgumentParser(description="Make the file of the example model `simple`.")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    path: Path = parser.parse_args().repository / "simple" / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(simple(), str(path))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
