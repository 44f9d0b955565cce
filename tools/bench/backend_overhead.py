"""What a request costs beside the bare call of its framework: one row of a small real model, one client, nothing else.

The models are those of the contract of the backends (`tests/frameworks/subjects`). For each framework that is installed:

    own call   what a program pays that calls the framework itself, in its usual way
    backend    the same through the server's backend, without a server; - for one that takes requests instead of arrays
    compute    what the server's statistics say an execution takes in the worker
    request    a request over gRPC as the client sees it, and beside it one of a model that does nothing (`identity`)
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
import tritonclient.grpc

from tests.frameworks.prepare import Prepared, prepared
from tests.frameworks.serving import put_model
from tests.frameworks.subject import Arrays
from tests.frameworks.subjects import subject
from tests.harness.native_models import write_identity
from tests.harness.repository import BATCHING, one_cpu
from tis.testing import load_model
from tis_workers.backends.base import TensorBackend

from .servers import Endpoint, serving

_MODEL: Final = "model"
_NOTHING: Final = "nothing"
_WARM_UP: Final = 100
_Call = Callable[[], Any]


def _dali(path: Path, inputs: Arrays) -> _Call:
    from nvidia import dali

    how = {"exec_async": False, "exec_pipelined": False, "prefetch_queue_depth": 1}
    pipeline = dali.Pipeline.deserialize(filename=str(path), batch_size=8, num_threads=1, device_id=None, **how)

    def call() -> object:
        for name, array in inputs.items():
            pipeline.feed_input(name, array)
        return pipeline.run()[0].as_array()

    return call


def _fil(path: Path, inputs: Arrays) -> _Call:
    import treelite

    forest = treelite.frontend.load_xgboost_model(path, format_choice="json")
    return lambda: treelite.gtil.predict(forest, inputs["input__0"], nthread=1)


def _onnxruntime(path: Path, inputs: Arrays) -> _Call:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, dict(inputs))


def _openvino(path: Path, inputs: Arrays) -> _Call:
    import openvino

    request = openvino.compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    return lambda: request.infer(dict(inputs), share_inputs=True, share_outputs=True)


def _pytorch(path: Path, inputs: Arrays) -> _Call:
    import torch

    module = torch.jit.load(str(path))
    torch.set_grad_enabled(False)
    return lambda: module(*(torch.from_numpy(array) for array in inputs.values())).numpy()


def _tensorflow(path: Path, inputs: Arrays) -> _Call:
    import tensorflow as tf

    module = tf.saved_model.load(str(path))
    layer = module.signatures["serving_default"]
    return lambda: {
        name: value.numpy() for name, value in layer(**{key: tf.constant(x) for key, x in inputs.items()}).items()
    }


#: How a program calls each framework itself.
_OWN_CALLS: Final = {
    "dali": _dali,
    "fil": _fil,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "pytorch": _pytorch,
    "tensorflow": _tensorflow,
}


@dataclass(frozen=True)
class Costs:
    """Microseconds of a row; medians, but for `compute_us`, which is a mean."""

    own_us: float
    backend_us: float
    compute_us: float
    request_us: float
    nothing_us: float


def main() -> int:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", default=list(_OWN_CALLS), help=f"of {', '.join(_OWN_CALLS)}")
    parser.add_argument("--requests", type=int, default=2000)
    # For the process that holds a framework.
    parser.add_argument("--repository", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.repository is not None:
        (name,) = arguments.frameworks
        print(*_calls(name, arguments.repository, arguments.requests))
        return 0
    print("| framework | own call | backend | compute | request | of nothing |\n|---|---|---|---|---|---|")
    for name in arguments.frameworks:
        if subject(name).lacks:
            print(f"| {name} | {subject(name).lacks} |")
            continue
        with tempfile.TemporaryDirectory() as folder:
            costs = _measured(name, Path(folder), arguments.requests)
        listed = costs.own_us, costs.backend_us, costs.compute_us, costs.request_us, costs.nothing_us
        print("|", name, "|", " | ".join("-" if isnan(each) else f"{each:.0f} µs" for each in listed), "|", flush=True)
    return 0


def _measured(name: str, folder: Path, requests: int) -> Costs:
    (folder / "made").mkdir()
    made = prepared(name, folder / "made")
    repository = folder / "models"
    put_model(made, repository, _MODEL)
    made.subject.write_config(repository, _MODEL, max_batch_size=8, extra=one_cpu() + BATCHING)
    write_identity(repository, _NOTHING, dims="6", max_batch_size=8, extra=BATCHING)
    command = [sys.executable, "-m", "tools.bench.backend_overhead", name, f"--repository={repository}"]
    done = subprocess.run([*command, f"--requests={requests}"], capture_output=True, text=True, check=True)
    own_us, backend_us = (float(each) for each in done.stdout.split()[-2:])
    serve = [sys.executable, "-P", "-m", "tis", "serve", "--frontends=1"]
    with serving(serve, repository, folder / "log") as running:
        nothing_us = _request_us(running.endpoint, _NOTHING, {"INPUT0": np.zeros((1, 6), np.float32)}, requests)
        request_us = _request_us(running.endpoint, _MODEL, _one_row(made), requests)
        compute_us = _compute_us(running.endpoint)
    return Costs(own_us, backend_us, compute_us, request_us, nothing_us)


def _one_row(made: Prepared) -> Arrays:
    return {name: array[:1] for name, array in made.inputs.items()}


def _calls(name: str, repository: Path, requests: int) -> tuple[float, float]:
    """The framework's own call and the backend's, in microseconds."""
    chosen = subject(name)
    inputs = {key: array[:1] for key, array in chosen.sampled().items()}
    own_us = _median_us(_OWN_CALLS[name](repository / _MODEL / "1" / chosen.filename, inputs), requests)
    with load_model(repository / _MODEL) as model:
        backend: Any = model._backend  # noqa: SLF001 - there is no other way to its bare call
        outputs = [tensor.name for tensor in model.spec.outputs]
        if not isinstance(backend, TensorBackend):
            return own_us, nan
        return own_us, _median_us(lambda: backend.run(inputs, outputs), requests)


def _request_us(endpoint: Endpoint, model: str, inputs: Arrays, requests: int) -> float:
    client = tritonclient.grpc.InferenceServerClient(endpoint.grpc_address)
    try:
        given = []
        for name, array in inputs.items():
            given.append(tritonclient.grpc.InferInput(name, array.shape, "FP32"))
            given[-1].set_data_from_numpy(array)
        return _median_us(lambda: client.infer(model, given), requests)
    finally:
        client.close()


def _compute_us(endpoint: Endpoint) -> float:
    client = tritonclient.grpc.InferenceServerClient(endpoint.grpc_address)
    try:
        (found,) = client.get_inference_statistics(_MODEL).model_stats
        sums = found.inference_stats
        total_ns = sums.compute_input.ns + sums.compute_infer.ns + sums.compute_output.ns
        return float(total_ns / sums.success.count / 1e3)
    finally:
        client.close()


def _median_us(call: _Call, count: int) -> float:
    for _ in range(_WARM_UP):
        call()
    found = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - began_ns)
    return statistics.median(found) / 1e3


if __name__ == "__main__":
    sys.exit(main())
