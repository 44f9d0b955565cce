"""How long a framework itself takes for a model, loaded once and called in a loop, without any server.

One function for each subject of the contract (`tests/frameworks/subjects`) loads its model and gives the call. A process of
its own runs it, with the inputs as the contract has pickled them, and writes a JSON object of microseconds by rows:

    python -m tools.bench.bare_calls NAME MODEL INPUTS CALLS
"""

import json
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

#: From a model's file to the call.
Loader = Callable[[Path], Callable[[Mapping[str, Any]], object]]
#: Rows of a request: one, and as many as the contract has.
ROWS: Final = (1, 8)
_WARM_UP_CALLS: Final = 50


def _dali(path: Path) -> Callable[[Mapping[str, Any]], object]:
    from nvidia import dali

    how = {"exec_async": False, "exec_pipelined": False, "prefetch_queue_depth": 1}
    pipeline = dali.Pipeline.deserialize(filename=str(path), batch_size=max(ROWS), num_threads=1, device_id=None, **how)

    def call(inputs: Mapping[str, Any]) -> object:
        for name, array in inputs.items():
            pipeline.feed_input(name, array)
        return pipeline.run()[0].as_array()

    return call


def _fil(path: Path) -> Callable[[Mapping[str, Any]], object]:
    import treelite

    forest = treelite.frontend.load_xgboost_model(path, format_choice="json")
    return lambda inputs: treelite.gtil.predict(forest, inputs["input__0"], nthread=1)


def _onnxruntime(path: Path) -> Callable[[Mapping[str, Any]], object]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: session.run(names, dict(inputs))


def _openvino(path: Path) -> Callable[[Mapping[str, Any]], object]:
    import openvino

    request = openvino.compile_model(path, "CPU").create_infer_request()
    return lambda inputs: request.infer(dict(inputs))


def _pytorch(path: Path) -> Callable[[Mapping[str, Any]], object]:
    import torch

    module = torch.jit.load(str(path))

    def call(inputs: Mapping[str, Any]) -> object:
        with torch.inference_mode():
            return module(*(torch.from_numpy(array) for array in inputs.values())).numpy()

    return call


def _tensorflow(path: Path) -> Callable[[Mapping[str, Any]], object]:
    import tensorflow as tf

    # The signature lives as long as what it was loaded with.
    loaded = tf.saved_model.load(str(path))
    layer = loaded.signatures["serving_default"]

    def call(inputs: Mapping[str, Any]) -> object:
        found = layer(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}, loaded

    return call


LOADERS: Final[Mapping[str, Loader]] = {
    "dali": _dali,
    "fil": _fil,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "pytorch": _pytorch,
    "tensorflow": _tensorflow,
}


def median_us(call: Callable[[], object], calls: int) -> float:
    """The median time of a call, in microseconds, after some that warm it up."""
    for _ in range(_WARM_UP_CALLS):
        call()
    times_ns = []
    for _ in range(calls):
        start_ns = time.perf_counter_ns()
        call()
        times_ns.append(time.perf_counter_ns() - start_ns)
    return statistics.median(times_ns) / 1e3


def main(name: str, model: Path, inputs_file: Path, calls: int) -> None:
    """Measure one model with each number of rows."""
    inputs = pickle.loads(inputs_file.read_bytes())
    call = LOADERS[name](model)
    found = {}
    for rows in ROWS:
        asked = {key: array[:rows] for key, array in inputs.items()}
        found[str(rows)] = median_us(lambda asked=asked: call(asked), calls)  # type: ignore[misc]  # a lambda's default
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
