"""The models of the mixed soak: every way of scheduling, over ONNX and Python. All add little to what they are sent."""

from pathlib import Path
from typing import Final

from tests.harness.models import add_sub, identity
from tests.harness.python_models import PythonModel
from tests.harness.repository import one_cpu
from tests.harness.sequence_models import START, SUM_STATE, accumulator
from tests.harness.sequence_models import write as write_sequence

#: The models that clients ask, and those that only the ensemble asks.
ASKED: Final = ("bounded", "ordered", "both", "cached", "summing", "remembering", "stepping", "talking")
STEPS: Final = ("doubled", "negated", "joined")

#: Requests that fail by the model's own will say this in their second element, and the text that they get.
FAILS: Final = -7
FAILURE_TEXT: Final = "refused by the model itself"

IDLE_S: Final = 2.0
SUMMING_SLOTS: Final = 4
REMEMBERING_SLOTS: Final = 6
LEVELS: Final = 3

_TENSOR: Final = '{ name: "%s" data_type: TYPE_INT64 dims: [ 2 ] }'
_IO: Final = f"input [ {_TENSOR % 'INPUT0'} ]\noutput [ {_TENSOR % 'OUTPUT0'} ]\n"

_BOUNDED: Final = f"""
dynamic_batching {{
  preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1500
  priority_levels: {LEVELS} default_priority_level: 2
  default_queue_policy {{
    timeout_action: REJECT default_timeout_microseconds: 100000 allow_timeout_override: true max_queue_size: 6 }}
  priority_queue_policy [
    {{ key: {LEVELS} value: {{
      timeout_action: DELAY default_timeout_microseconds: 2000 allow_timeout_override: true max_queue_size: 3 }} }}
  ]
}}
"""

_ORDERED: Final = """\
import time

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        arrays = [pb.get_input_tensor_by_name(each, "INPUT0").as_numpy() for each in requests]
        time.sleep(max(0, max(int(array[0, 1]) for array in arrays)) / 1000)
        return [self.answer(array) for array in arrays]

    def answer(self, array):
        if array[0, 1] == FAILS:
            return pb.InferenceResponse(error=pb.TritonError("TEXT"))
        return pb.InferenceResponse([pb.Tensor("OUTPUT0", array + np.array([1, 0]))])
""".replace("FAILS", str(FAILS)).replace("TEXT", FAILURE_TEXT)

_NEGATED: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        arrays = [pb.get_input_tensor_by_name(each, "INPUT0").as_numpy() for each in requests]
        return [pb.InferenceResponse([pb.Tensor("OUTPUT0", -array)]) for array in arrays]
"""

_REMEMBERING: Final = """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        def control(name):
            return int(pb.get_input_tensor_by_name(request, name).as_numpy().ravel()[0])

        sequence, value = control("CORRID"), pb.get_input_tensor_by_name(request, "INPUT0").as_numpy()
        if control("START"):
            self.sums[sequence] = 0
        if not control("READY"):
            return pb.InferenceResponse(error=pb.TritonError("not ready"))
        self.sums[sequence] += int(value[0, 0])
        result = pb.Tensor("OUTPUT0", np.array([[self.sums[sequence], sequence]]))
        if control("END"):
            del self.sums[sequence]
        return pb.InferenceResponse([result])
"""
_CONTROLS: Final = """
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } ] },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
"""

_STEPPING: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.left = {}

    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        sequence = request.correlation_id()
        array = pb.get_input_tensor_by_name(request, "INPUT0").as_numpy()
        if not sequence:
            # It stands for an empty slot.
            return pb.InferenceResponse([pb.Tensor("OUTPUT0", array)])
        if request.flags() & pb.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            self.left[sequence] = int(array[0, 1])
        self.left[sequence] -= 1
        if self.left[sequence] > 0:
            request.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return None
        del self.left[sequence]
        return pb.InferenceResponse([pb.Tensor("OUTPUT0", array)])
"""

_TALKING: Final = """\
import threading

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            base, count = pb.get_input_tensor_by_name(request, "INPUT0").as_numpy()[0].tolist()
            sender = request.get_response_sender()
            if count % 2:
                threading.Thread(target=self.talk, args=(sender, base, count)).start()
            else:
                self.talk(sender, base, count)

    def talk(self, sender, base, count):
        for number in range(count):
            if sender.is_cancelled():
                break
            sender.send(pb.InferenceResponse([pb.Tensor("OUTPUT0", np.array([[base, number]]))]))
        sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def _limited(count: int) -> str:
    """Instances that share a resource with those of other models, so that their turns are the rate limiter's."""
    return (
        f"instance_group [ {{ kind: KIND_CPU count: {count} "
        'rate_limiter { resources [ { name: "TURN" count: 1 } ] } } ]\n'
    )


#: Flags of the server that the models need.
FLAGS: Final = ("--cache-config=local,size=1048576", "--rate-limit=execution_count", "--rate-limit-resource=TURN:3")


def write_models(folder: Path) -> Path:
    """All of them in a repository."""
    pair = ("b", 2)
    one, batching = one_cpu(), "dynamic_batching { }\n"
    identity("INT64", pair).write(folder, "bounded", max_batch_size=8, extra=one + _BOUNDED)
    cached = one + batching + "response_cache { enable: true }\n"
    identity("INT64", pair).write(folder, "cached", max_batch_size=8, extra=cached)
    _write_python(
        folder, "ordered", _ORDERED, _limited(3) + "max_batch_size: 4\ndynamic_batching { preserve_ordering: true }\n"
    )
    write_sequence(accumulator(), folder, "summing", _idle() + START + SUM_STATE % "", max_batch_size=SUMMING_SLOTS)
    oldest = f"oldest {{ max_candidate_sequences: {REMEMBERING_SLOTS // 2} max_queue_delay_microseconds: 500 }}"
    sequences = f"max_batch_size: 4\nsequence_batching {{ {_idle()} {oldest} {_CONTROLS} }}\n"
    _write_python(folder, "remembering", _REMEMBERING, _limited(2) + sequences)
    _write_python(
        folder, "stepping", _STEPPING, one + "max_batch_size: 4\nsequence_batching { iterative_sequence: true }\n"
    )
    decoupled = "max_batch_size: 4\nmodel_transaction_policy { decoupled: true }\n" + batching
    _write_python(folder, "talking", _TALKING, one + decoupled)
    add_sub(pair, "INT64").write(folder, "doubled", max_batch_size=8, extra=one + batching)
    add_sub(pair, "INT64").write(folder, "joined", max_batch_size=8, extra=one + batching)
    _write_python(folder, "negated", _NEGATED, one + "max_batch_size: 4\n" + batching)
    _write_ensemble(folder)
    return folder


def _idle() -> str:
    return f"max_sequence_idle_microseconds: {int(IDLE_S * 1e6)} "


def _write_python(folder: Path, name: str, source: str, config: str) -> None:
    written = PythonModel(source, None).write(folder, name)
    (written / "config.pbtxt").write_text(f'backend: "python"\n{_IO}{config}')


def _write_ensemble(folder: Path) -> None:
    """Of x: doubled is 2x, negated is -x, beside each other; joined gives their sum and their difference, x and 3x."""
    (folder / "both" / "1").mkdir(parents=True)
    (folder / "both" / "config.pbtxt").write_text(
        f"""platform: "ensemble"
max_batch_size: 4
input [ {_TENSOR % "INPUT0"} ]
output [ {_TENSOR % "OUTPUT0"}, {_TENSOR % "OUTPUT1"} ]
ensemble_scheduling {{ step [
  {{ model_name: "doubled" model_version: -1 input_map {{ key: "INPUT0" value: "INPUT0" }}
    input_map {{ key: "INPUT1" value: "INPUT0" }} output_map {{ key: "OUTPUT0" value: "twice" }} }},
  {{ model_name: "negated" model_version: -1 input_map {{ key: "INPUT0" value: "INPUT0" }}
    output_map {{ key: "OUTPUT0" value: "minus" }} }},
  {{ model_name: "joined" model_version: -1 input_map {{ key: "INPUT0" value: "twice" }}
    input_map {{ key: "INPUT1" value: "minus" }} output_map {{ key: "OUTPUT0" value: "OUTPUT0" }}
    output_map {{ key: "OUTPUT1" value: "OUTPUT1" }} }}
] }}
"""
    )
