"""Makes a repository with `resnet50` (ONNX) and `bert` (TorchScript), of random weights: large models to try a server with.

    python -m tools.networks.make FOLDER            # about 540 MB
    python -m tools.networks.make FOLDER --layers=2 # a BERT of two layers instead of twelve

It needs the extra `train`. The layout is that of Triton's model repositories:

    FOLDER/resnet50/config.pbtxt, FOLDER/resnet50/1/model.onnx, FOLDER/bert/config.pbtxt, FOLDER/bert/1/model.pt
"""

import argparse
import warnings
from pathlib import Path
from typing import Final

import torch

from tools.networks.bert import Bert, Size
from tools.networks.resnet50 import ResNet50

_RESNET50: Final = """name: "resnet50"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "input_name" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "output_name" data_type: TYPE_FP32 dims: [ 1000 ] } ]
instance_group [ { kind: KIND_AUTO count: 1 } ]
dynamic_batching { }
"""
_BERT: Final = """name: "bert"
platform: "pytorch_libtorch"
max_batch_size: 8
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "token_type_ids" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [
  { name: "last_hidden_state" data_type: TYPE_FP32 dims: [ -1, 768 ] },
  { name: "pooler_output" data_type: TYPE_FP32 dims: [ 768 ] }
]
instance_group [ { kind: KIND_AUTO count: 1 } ]
dynamic_batching { }
"""


def make_resnet50(folder: Path) -> None:
    """Write the model `resnet50` into a repository."""
    file = _begin(folder, "resnet50", _RESNET50) / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ResNet50().eval(),
            (torch.zeros(1, 3, 224, 224),),
            str(file),
            input_names=["input_name"],
            output_names=["output_name"],
            dynamic_axes={"input_name": {0: "batch"}, "output_name": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


def make_bert(folder: Path, layers: int) -> None:
    """Write the model `bert` into a repository."""
    file = _begin(folder, "bert", _BERT) / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Bert(Size(layers=layers)).eval()).save(str(file))


def _begin(folder: Path, name: str, config: str) -> Path:
    version = folder / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (folder / name / "config.pbtxt").write_text(config)
    return version


def main() -> None:
    """Read the command line and write both models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the repository to write them to")
    parser.add_argument("--layers", type=int, default=12, help="layers of BERT (12)")
    parser.add_argument("--seed", type=int, default=0, help="for the weights (0)")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    make_resnet50(arguments.folder)
    make_bert(arguments.folder, arguments.layers)
    print(f"resnet50 and bert are in {arguments.folder}")


if __name__ == "__main__":
    main()
