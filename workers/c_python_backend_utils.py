"""The module that Triton's own utilities are made of, for models that import it themselves."""

from tis_workers.python_api.bls_request import InferenceRequest
from tis_workers.python_api.errors import TritonError, TritonModelException
from tis_workers.python_api.logger import Logger
from tis_workers.python_api.memory import MemoryType, PreferredMemory
from tis_workers.python_api.metrics import Metric, MetricFamily, MetricKind
from tis_workers.python_api.model_control import is_model_ready, load_model, unload_model
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.sender import InferenceResponseSender
from tis_workers.python_api.tensor import Tensor
from tis_workers.python_api.trace import InferenceTrace

COUNTER = MetricKind.COUNTER
GAUGE = MetricKind.GAUGE
HISTOGRAM = MetricKind.HISTOGRAM
TRITONSERVER_MEMORY_CPU = MemoryType.TRITONSERVER_MEMORY_CPU
TRITONSERVER_MEMORY_GPU = MemoryType.TRITONSERVER_MEMORY_GPU

__all__ = [
    "COUNTER",
    "GAUGE",
    "HISTOGRAM",
    "TRITONSERVER_MEMORY_CPU",
    "TRITONSERVER_MEMORY_GPU",
    "InferenceRequest",
    "InferenceResponse",
    "InferenceResponseSender",
    "InferenceTrace",
    "Logger",
    "MemoryType",
    "Metric",
    "MetricFamily",
    "MetricKind",
    "PreferredMemory",
    "Tensor",
    "TritonError",
    "TritonModelException",
    "is_model_ready",
    "load_model",
    "unload_model",
]
