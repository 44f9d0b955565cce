"""PyTorch: a small network in TorchScript, whose arguments are the inputs' names."""

import warnings
from pathlib import Path

from tests.frameworks.subject import Arrays, Subject, Tensor


def _make(path: Path, seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    layers = torch.nn.Linear(6, 8), torch.nn.ReLU(inplace=True), torch.nn.Linear(8, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Sequential(*layers).eval(), torch.zeros(2, 6)).save(str(path))


def _answer(path: Path, inputs: Arrays) -> Arrays:
    import torch

    with torch.inference_mode():
        return {"OUTPUT__0": torch.jit.load(str(path))(torch.from_numpy(inputs["input"])).numpy()}


SUBJECT = Subject(
    backend="pytorch",
    module="torch",
    extra="torch",
    filename="model.pt",
    inputs=(Tensor("input", "FP32", (6,)),),
    outputs=(Tensor("OUTPUT__0", "FP32", (3,)),),
    make=_make,
    answer=_answer,
    completes=False,
    incomplete="must contain at least one input, none were specified",
    datatypes_checked="request",
    mistyped="PyTorch execute failure: ",
    spoilt="failed to load model 'spoilt': ",
)
