"""What a config asks of OpenVINO, read without OpenVINO."""

import pytest

from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.errors import Code, TisError
from tis_workers.backends.base import LoadContext
from tis_workers.backends.openvino_options import Options, options


def read(*, kind: str = "CPU", instances: int = 1, **parameters: str) -> Options:
    all_of_them = tuple(InstanceSpec(f"m_{number}", kind) for number in range(instances))
    spec = ModelSpec("m", 1, "", "openvino", 0, (), (), parameters=parameters, instances=all_of_them)
    return options(LoadContext(spec, all_of_them[0], threads=3))


def refusal(**more: str) -> str:
    with pytest.raises(TisError) as caught:
        read(**more)  # type: ignore[arg-type]
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_an_instance_has_its_share_of_the_cores_for_one_batch_and_pins_no_threads() -> None:
    expected: dict[str, str | int | bool] = {"INFERENCE_NUM_THREADS": 3, "ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1}
    assert read() == Options(properties=expected)


def test_threads_and_streams_are_divided_among_the_instances() -> None:
    found = read(instances=4, INFERENCE_NUM_THREADS="8", NUM_STREAMS="6").properties
    assert (found["INFERENCE_NUM_THREADS"], found["NUM_STREAMS"]) == (2, 2)
    assert read(NUM_STREAMS="auto").properties["NUM_STREAMS"] == "AUTO"
    assert "NUM_STREAMS" not in read(PERFORMANCE_HINT="throughput").properties


def test_parameters_are_those_of_tritons_backend() -> None:
    found = read(
        TARGET_DEVICE="gpu",
        PERFORMANCE_HINT="latency",
        HINT_BF16="yes",
        COMPILATION_NUM_THREADS="5",
        CPU_EXTENSION_PATH="/lib/ops.so",
        RESHAPE_IO_LAYERS="YES",
        SKIP_OV_DYNAMIC_BATCHSIZE="yes",
        ENABLE_BATCH_PADDING="YES",
        ENABLE_MMAP="YES",
    )
    properties: dict[str, str | int | bool] = {
        "COMPILATION_NUM_THREADS": 5,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16",
    }
    assert found == Options("GPU", properties, "/lib/ops.so", reshapes=True, fixed_batch=True, maps_weights=True)


def test_values_that_are_none_are_refused_in_tritons_words() -> None:
    assert refusal(NUM_STREAMS="x") == "expected the parameter 'NUM_STREAMS' to be either AUTO/NUMA/<int_value>, got X"
    assert "to be a non-negative number, got -1" in refusal(INFERENCE_NUM_THREADS="-1")
    assert "to be LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT, got FAST" in refusal(PERFORMANCE_HINT="fast")
    assert refusal(HINT_BF16="no") == "expected the parameter 'HINT_BF16' to be YES, got no"
    assert "Triton OpenVINO backend supports only Kind CPU and AUTO" in refusal(kind="MODEL")
