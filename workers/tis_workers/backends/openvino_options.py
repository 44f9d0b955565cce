"""What a model's config asks of OpenVINO: parameters as Triton's openvino backend names them, read and checked.

Plain data; OpenVINO is not imported here.

=============================  =======================================================================================
`TARGET_DEVICE`                device that runs the model: `CPU`, else what OpenVINO has, such as `GPU`, `NPU`, `AUTO`
`PERFORMANCE_HINT`             `LATENCY`, `THROUGHPUT` or `CUMULATIVE_THROUGHPUT`
`NUM_STREAMS`                  parts of the cores that run for themselves: a number, `AUTO` or `NUMA`; of all instances
`INFERENCE_NUM_THREADS`        threads of all instances together; else each has its share of the cores
`COMPILATION_NUM_THREADS`      threads that compile the model, for devices that know this; the CPU does not
`HINT_BF16`                    `YES`: compute in BF16 where the device can
`CPU_EXTENSION_PATH`           library with operations of its own
`RESHAPE_IO_LAYERS`            `YES`: the model gets the shapes that the config has
`SKIP_OV_DYNAMIC_BATCHSIZE`    `YES`: the model is compiled for batches of `max_batch_size`; smaller ones are filled up
`ENABLE_BATCH_PADDING`         has no effect: smaller batches are run as they are, or else filled up
=============================  =======================================================================================

Beyond Triton's: `ENABLE_MMAP`, `YES`: weights are mapped from their file instead of read, and so shared by all instances. A
file that is written over while it is mapped ends the processes that serve it.
"""

from dataclasses import dataclass, field
from typing import Final

from tis.contracts.model_spec import ModelSpec
from tis.errors import invalid
from tis_workers.backends.base import LoadContext

_HINTS: Final = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")


@dataclass(frozen=True, slots=True)
class Options:
    """What one model instance asks for."""

    device: str = "CPU"
    #: OpenVINO's properties by name.
    properties: dict[str, str | int | bool] = field(default_factory=dict)
    extension: str = ""
    reshapes: bool = False
    fixed_batch: bool = False
    maps_weights: bool = False


def options(context: LoadContext) -> Options:
    """Read the config of a model.

    Raises:
        TisError: INVALID_ARG for a value that is none, and for an instance that is not of KIND_CPU, in Triton's words.
    """
    spec = context.spec
    if context.instance.kind != "CPU":
        raise invalid(
            f"unable to load model '{spec.name}', Triton OpenVINO backend supports only Kind CPU and AUTO; for other devices "
            "of OpenVINO there is the parameter TARGET_DEVICE"
        )
    device = spec.parameters.get("TARGET_DEVICE", "").upper() or "CPU"
    return Options(
        device=device,
        properties=_properties(context, device),
        extension=spec.parameters.get("CPU_EXTENSION_PATH", ""),
        reshapes=_is_yes(spec, "RESHAPE_IO_LAYERS"),
        fixed_batch=_is_yes(spec, "SKIP_OV_DYNAMIC_BATCHSIZE"),
        maps_weights=_is_yes(spec, "ENABLE_MMAP"),
    )


def _properties(context: LoadContext, device: str) -> dict[str, str | int | bool]:
    """Threads are divided among the instances, which are processes here and share one compiled model in Triton."""
    spec, instances = context.spec, max(len(context.spec.instances), 1)
    on_cpu = device == "CPU"
    found: dict[str, str | int | bool] = {}
    threads = _number(spec, "INFERENCE_NUM_THREADS")
    if threads or on_cpu:
        found["INFERENCE_NUM_THREADS"] = -(-threads // instances) or context.threads
    if on_cpu:
        # Each process would pin its threads to the same cores, the first ones.
        found["ENABLE_CPU_PINNING"] = False
    streams = spec.parameters.get("NUM_STREAMS", "").upper()
    if streams in ("AUTO", "NUMA"):
        found["NUM_STREAMS"] = streams
    elif streams.isascii() and streams.isdigit():
        found["NUM_STREAMS"] = max(-(-int(streams) // instances), 1)
    elif streams:
        raise _expected("NUM_STREAMS", "either AUTO/NUMA/<int_value>", streams)
    elif on_cpu and "PERFORMANCE_HINT" not in spec.parameters:
        # An instance runs one batch at a time: it should have all its threads.
        found["NUM_STREAMS"] = 1
    compiling = _number(spec, "COMPILATION_NUM_THREADS")
    if compiling and not on_cpu:
        found["COMPILATION_NUM_THREADS"] = compiling
    hint = spec.parameters.get("PERFORMANCE_HINT", "").upper()
    if hint and hint not in _HINTS:
        raise _expected("PERFORMANCE_HINT", "/".join(_HINTS), hint)
    if hint:
        found["PERFORMANCE_HINT"] = hint
    if spec.parameters.get("HINT_BF16"):
        if not _is_yes(spec, "HINT_BF16"):
            raise _expected("HINT_BF16", "YES", spec.parameters["HINT_BF16"])
        found["INFERENCE_PRECISION_HINT"] = "bf16"
    return found


def _expected(parameter: str, what: str, given: str) -> Exception:
    return invalid(f"expected the parameter '{parameter}' to be {what}, got {given}")


def _number(spec: ModelSpec, parameter: str) -> int:
    text = spec.parameters.get(parameter, "")
    if text and not (text.isascii() and text.isdigit()):
        raise _expected(parameter, "a non-negative number", text)
    return int(text or "0")


def _is_yes(spec: ModelSpec, parameter: str) -> bool:
    return spec.parameters.get(parameter, "").lower() == "yes"
