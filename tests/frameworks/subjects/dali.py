"""DALI: a pipeline that scales and shifts rows of numbers, serialized."""

from pathlib import Path

from tests.frameworks.subject import Arrays, Subject, Tensor


def _make(path: Path, seed: int) -> None:
    from nvidia.dali import fn, pipeline_def, types

    def scaled() -> object:
        rows = fn.external_source(device="cpu", name="DALI_INPUT_0", dtype=types.FLOAT, ndim=1)
        return fn.cast(fn.normalize(rows, axes=[0]) * (seed + 2.0) + 1.0, dtype=types.FLOAT, name="OUTPUT")

    settings = {"batch_size": 8, "num_threads": 1, "device_id": None}
    pipeline = pipeline_def(**settings, output_dtype=[types.FLOAT], output_ndim=[1])(scaled)
    path.write_bytes(pipeline().serialize())


def _answer(path: Path, inputs: Arrays) -> Arrays:
    from nvidia import dali

    rows = inputs["DALI_INPUT_0"]
    pipeline = dali.Pipeline.deserialize(filename=str(path), batch_size=len(rows), num_threads=1, device_id=None)
    pipeline.feed_input("DALI_INPUT_0", rows)
    return {"OUTPUT": pipeline.run()[0].as_array()}


SUBJECT = Subject(
    backend="dali",
    module="nvidia.dali",
    extra="dali",
    filename="model.dali",
    inputs=(Tensor("DALI_INPUT_0", "FP32", (-1,)),),
    outputs=(Tensor("OUTPUT", "FP32", (-1,)),),
    make=_make,
    answer=_answer,
    mistyped='Mismatch of data_type config for "DALI_INPUT_0"',
    spoilt="DALI Backend error: Failed to load model file of model 'spoilt'",
)
