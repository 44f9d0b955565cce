"""`tis test`: loads one model into this process, asks it with given, sample or random inputs, shows answers and times."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tis.testing import LoadedModel, ModelError, Outputs

_SHOWN_VALUES: Final = 8
_SHOWN_RESPONSES: Final = 5


def test(argv: Sequence[str]) -> int:
    """Ask a model; 1 where it cannot be loaded or its answer is an error."""
    arguments = _arguments(argv)
    # Not before it is known that a model is to be loaded: this brings in what workers have.
    from tis.testing import ModelError, load_model

    try:
        with load_model(arguments.model, name=arguments.name, version=arguments.version, as_worker=True) as model:
            report = _asked(model, arguments)
    except ModelError as error:
        _fail(f"{error.code.spoken}: {error.message}", error.__cause__, arguments.json)
        return _ended(1)
    except Exception as error:  # noqa: BLE001 - a backend's own exception, or that of a file of functions
        _fail(f"{type(error).__name__}: {error}", error, arguments.json)
        return _ended(1)
    print(json.dumps(report, indent=2) if arguments.json else _text(report))
    return _ended(0)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tis test",
        description="Loads a model as a worker would, asks it and shows what it answers, without a server.",
    )
    parser.add_argument(
        "model", metavar="MODEL_DIR|FILE.py", help="a model's directory, or a file that declares functions"
    )
    parser.add_argument("--name", default="", help="which function of a file")
    parser.add_argument("--version", type=int, default=0, metavar="N", help="the version; by default the latest")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE|NAME=@FILE",
        help="an input: values between commas, or a .npy file (with its batch dimension) or, for BYTES, any other file; "
        "others come from the first sample of `model_warmup`, else see --data",
    )
    parser.add_argument(
        "--data", choices=("random", "zero"), default="random", help="what inputs hold that nobody gives"
    )
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME:DIMS", help="dims of an input, such as x:3,224,224"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="execute N such requests together")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many executions; by default 10")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args(argv)
    if arguments.count < 1 or arguments.batch < 1:
        parser.error("--count and --batch are numbers from 1 on")
    try:
        arguments.shapes = dict(_shape(each) for each in arguments.shape)
        arguments.inputs = dict(_input(each) for each in arguments.input)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return arguments


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition(":")
    numbers = tuple(int(dim) for dim in dims.split(",")) if dims.replace(",", "").isdigit() else ()
    if not name or not numbers:
        raise ValueError(f"--shape={text} is none of the form NAME:DIMS, such as x:3,224,224")
    return name, numbers


def _input(text: str) -> tuple[str, Any]:
    import numpy as np

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--input={text} is none of the form NAME=VALUE or NAME=@FILE")
    if not value.startswith("@"):
        return name, value
    path = Path(value[1:])
    if path.suffix == ".npy":
        return name, np.load(path)
    content = np.empty((1,), np.object_)
    content[0] = path.read_bytes()
    return name, content


def _asked(model: "LoadedModel", arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask as often as wanted; gives what there is to tell."""
    from tis.testing.inputs import inputs_for

    spec = model.spec
    given = {name: _batched(model, name, value) for name, value in arguments.inputs.items()}
    inputs, source = inputs_for(spec, given, arguments.shapes, arguments.data)
    times_ms: list[float] = []
    responses: list[Outputs] = []
    for number in range(arguments.count):
        began_ns = time.perf_counter_ns()
        answers = _once(model, inputs, arguments.batch)
        times_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
        if not number:
            responses = answers
    return {
        "model": spec.name,
        "version": spec.version,
        "backend": spec.backend,
        "inputs": [_tensor(name, spec.inputs_by_name[name].datatype, array) for name, array in inputs.items()],
        "input_data": source or "given",
        "batch": arguments.batch,
        "responses": [
            {
                "outputs": [_tensor(name, each.datatypes[name], array) for name, array in each.items()],
                "parameters": each.parameters,
            }
            for each in responses
        ],
        "load_ms": round(model.load_s * 1e3, 3),
        "first_ms": round(times_ms[0], 3),
        "median_ms": round(median(times_ms), 3),
        "executions": len(times_ms),
    }


def _batched(model: "LoadedModel", name: str, value: Any) -> Any:
    """The content of a file that is no array, with the dimensions that the model gives it."""
    tensor = model.spec.inputs_by_name.get(name)
    if isinstance(value, str) or tensor is None or value.dtype.kind != "O" or value.shape != (1,):
        return value
    return value.reshape((1,) * (len(tensor.shape) + (model.spec.max_batch_size > 0)))


def _once(model: "LoadedModel", inputs: dict[str, Any], batch: int) -> "list[Outputs]":
    """One execution; all responses of a decoupled model, else one for each request of the batch."""
    from tis.testing import ModelError

    if model.spec.decoupled and batch == 1:
        return list(model.stream(inputs))
    if model.spec.sequences is not None:
        if batch > 1:
            raise _refused("a model of sequences is asked with one request at a time; leave --batch out")
        return [model.infer(inputs, sequence_id=1, sequence_start=True, sequence_end=True)]
    if batch == 1:
        return [model.infer(inputs)]
    answers = model.batch([inputs] * batch)
    for answer in answers:
        if isinstance(answer, ModelError):
            raise answer
    return [answer for answer in answers if not isinstance(answer, ModelError)]


def _refused(text: str) -> "ModelError":
    from tis.errors import Code
    from tis.testing import ModelError

    return ModelError(Code.INVALID_ARG, text)


def _tensor(name: str, datatype: str, array: Any) -> dict[str, Any]:
    values = array.ravel()[:_SHOWN_VALUES].tolist()
    shown = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in values]
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "first": shown}


def _text(report: dict[str, Any]) -> str:
    lines = [f"{report['model']}, version {report['version']}, backend {report['backend']}"]
    lines += [f"  in   {_line(each)}" for each in report["inputs"]]
    if report["input_data"] != "given":
        lines.append(f"       ({report['input_data']})")
    responses = report["responses"]
    for number, response in enumerate(responses[:_SHOWN_RESPONSES]):
        if len(responses) > 1:
            lines.append(f"  response {number + 1} of {len(responses)}")
        lines += [f"  out  {_line(each)}" for each in response["outputs"]]
        if response["parameters"]:
            lines.append(f"       parameters {response['parameters']}")
    if not responses:
        lines.append("  no response")
    together = f", {report['batch']} requests together" if report["batch"] > 1 else ""
    lines.append(
        f"  loaded in {report['load_ms']:.1f} ms, first execution {report['first_ms']:.2f} ms, median of "
        f"{report['executions']} {report['median_ms']:.2f} ms{together}"
    )
    return "\n".join(lines)


def _line(tensor: dict[str, Any]) -> str:
    shape, first = tensor["shape"], tensor["first"]
    shown = " ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in first)
    count = 1
    for dim in shape:
        count *= dim
    more = " …" if count > len(first) else ""
    return f"{tensor['name']}  {tensor['datatype']} {shape}  {shown}{more}"


def _fail(text: str, cause: BaseException | None, as_json: bool) -> None:
    """The reason, behind the model's own traceback where there is one."""
    import traceback

    if cause is not None:
        print("".join(traceback.format_exception(cause)), end="", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": text}))
    print(f"tis test: {text}", file=sys.stderr)


def _ended(code: int) -> int:
    """Leave without waiting for threads that a model or its framework has started."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
