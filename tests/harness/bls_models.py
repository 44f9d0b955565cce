"""Models that ask other models, and those that they ask. The same files run on Triton.

Each takes a string TEXT, which says what to do, and answers with strings in OUT: what came of it.
"""

from pathlib import Path
from typing import Final

from tests.harness.ensembles import Ensemble, Step
from tests.harness.python_models import PythonModel

#: `echo` asks `b_echo`, `said` shows a response, `show` asks the model that shows its request.
_HEAD: Final = """\
import asyncio
import concurrent.futures
import json

import numpy as np
import triton_python_backend_utils as pb


def echo(value, name="b_echo", **fields):
    tensor = pb.Tensor("IN", np.array([value], np.float32))
    return pb.InferenceRequest(model_name=name, requested_output_names=["OUT"], inputs=[tensor], **fields)


def show(text="", name="b_show", **fields):
    tensor = pb.Tensor("IN", np.array([text], object))
    return pb.InferenceRequest(model_name=name, requested_output_names=["OUT"], inputs=[tensor], **fields)


def repeat(count):
    tensor = pb.Tensor("IN", np.array([count], np.int32))
    return pb.InferenceRequest(model_name="b_repeat", requested_output_names=["OUT"], inputs=[tensor])


def said(response):
    if response.has_error():
        return f"error {response.error().code() == pb.TritonError.INTERNAL}: {response.error().message()}"
    return json.dumps([[each.name(), plain(each.as_numpy())] for each in response.output_tensors()])


def plain(array):
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]


class TritonPythonModel:
    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        text = pb.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()[0].decode()
        answers = np.array([str(each) for each in self.answer(request, text)], object)
        return pb.InferenceResponse([pb.Tensor("OUT", answers)])

"""
_IO: Final = (
    'input { name: "TEXT" data_type: TYPE_STRING dims: 1 } output { name: "OUT" data_type: TYPE_STRING dims: -1 }\n'
)


def _bls(answer: str) -> PythonModel:
    """A model whose `answer(self, request, text)` gives strings."""
    body = "".join(f"        {line}\n" if line else "\n" for line in answer.splitlines())
    return PythonModel(f"{_HEAD}    def answer(self, request, text):\n{body}", _IO)


_CHAIN: Final = """\
value = float(text)
for _ in range(3):
    value = echo(value).exec().output_tensors()[0].as_numpy()[0] + 1
return [value]"""

_GATHER: Final = """\
async def gathered():
    return await asyncio.gather(*[echo(number).async_exec() for number in range(int(text))])

return [said(each) for each in asyncio.run(gathered())]"""

_EACH: Final = """\
if text == "plain":
    return [said(repeat(2).exec())]
if text == "not decoupled":
    return [said(each) for each in echo(1).exec(decoupled=True)]
iterator = repeat(int(text)).exec(decoupled=True)
first = [said(each) for each in iterator]
return [*first, [said(each) for each in iterator] == first]"""

_ASYNC_EACH: Final = """\
async def each():
    return [said(each) for each in await repeat(int(text)).async_exec(decoupled=True)]

return asyncio.run(each())"""

_ERRORS: Final = """\
response = show(text, request_id="mine").exec()
return [response.has_error(), said(response), len(response.output_tensors()) if not response.has_error() else 0]"""

_UNKNOWN: Final = "return [said(echo(1, name=text).exec()), said(list(echo(1, name=text).exec(decoupled=True))[0])]"

_WRONG: Final = """\
one = pb.Tensor("IN", np.array([1], np.float32))
asked = {
    "name": ("b_echo", ["OUT"], [pb.Tensor("NOPE", one.as_numpy())]),
    "shape": ("b_echo", ["OUT"], [pb.Tensor("IN", np.zeros((1, 2), np.float32))]),
    "dtype": ("b_echo", ["OUT"], [pb.Tensor("IN", np.array([1], np.float64))]),
    "missing": ("b_echo", ["OUT"], []),
    "twice": ("b_echo", ["OUT"], [one, one]),
    "output": ("b_echo", ["NOPE"], [one]),
    "no outputs": ("b_echo", [], [one]),
    "batch": ("b_batched", ["OUT"], [pb.Tensor("IN", np.zeros((5, 1), np.float32))]),
}
model, outputs, inputs = asked[text]
asked = pb.InferenceRequest(model_name=model, requested_output_names=outputs, inputs=inputs, request_id="mine")
return [said(asked.exec())]"""

_CONSTRUCTED: Final = """\
tried = {
    "no output name": dict(requested_output_names=[""]),
    "no input": dict(inputs=[None]),
    "a float": dict(parameters={"a": 1.5}),
    "a key": dict(parameters={1: 1}),
    "right": dict(parameters={"a": "b"}, flags=3, correlation_id="s", timeout=7, request_id="me"),
}
try:
    made = pb.InferenceRequest(**{**dict(model_name="m", requested_output_names=["O"], inputs=[]), **tried[text]})
except Exception as error:
    return [type(error).__name__, error]
return [made.request_id(), made.correlation_id(), made.flags(), made.timeout(), made.parameters(), made.inputs()]"""

_SEQUENCE: Final = """\
def step(value, **fields):
    tensor = pb.Tensor("IN", np.array([[value]], np.int32))
    return pb.InferenceRequest(model_name="b_sum", requested_output_names=["OUT"], inputs=[tensor], **fields)

start, end = pb.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END
if text == "no id":
    return [said(step(1).exec())]
if text == "no start":
    return [said(step(1, correlation_id=77).exec())]
last = step(3, correlation_id=5)
last.set_flags(end)
calls = [step(1, correlation_id=5, flags=start), step(2, correlation_id=5), last]
return [said(each.exec()) for each in calls]"""

_VERSION: Final = "return [said(show(name='b_versions', model_version=int(text)).exec())]"

_FIELDS: Final = """\
fields = dict(request_id="mine", correlation_id=5, flags=3, timeout=77, parameters={"k": 1, "t": True, "s": "x"})
cpu = pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0)
again = show("a", preferred_memory=cpu, trace=request.trace())
return [said(show("a", **fields).exec()), said(again.exec()), said(again.exec())]"""

_TIMEOUT: Final = """\
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    first = pool.submit(lambda: said(show("wait", name="b_slow").exec()))
    while not pb.is_model_ready("b_slow") or not first.running():
        pass
    show("", name="b_show").exec()
    late = [said(show(name="b_slow", timeout=1000).exec()) for _ in range(2)]
    return [json.loads(first.result())[0][0], late[0]]"""

_NESTED: Final = """\
tensor = pb.Tensor("TEXT", np.array([text], object))
return [said(pb.InferenceRequest(model_name="bls_chain", requested_output_names=["OUT"], inputs=[tensor]).exec())]"""

_THREADS: Final = """\
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    return list(pool.map(lambda number: said(echo(number).exec()), range(int(text))))"""

_READY: Final = """\
name, _, version = text.partition(":")
try:
    return [pb.is_model_ready(name, version)]
except Exception as error:
    return [type(error).__name__, error]"""

_ENSEMBLE: Final = """\
tensor = pb.Tensor("E", np.array([float(text)], np.float32))
return [said(pb.InferenceRequest(model_name="b_both", requested_output_names=["F"], inputs=[tensor]).exec())]"""

_ITSELF: Final = """\
print("bls_itself asks", flush=True)
tensor = pb.Tensor("TEXT", np.array([text], object))
return [said(pb.InferenceRequest(model_name="bls_itself", requested_output_names=["OUT"], inputs=[tensor]).exec())]"""

_KEPT: Final = """\
kept = getattr(self, "kept", None)
self.kept = echo(float(text)).exec().output_tensors()[0].as_numpy()[:1] if text else None
return [kept, self.kept]"""

#: Models that ask.
ASKING: Final[dict[str, PythonModel]] = {
    "bls_chain": _bls(_CHAIN),
    "bls_gather": _bls(_GATHER),
    "bls_each": _bls(_EACH),
    "bls_async_each": _bls(_ASYNC_EACH),
    "bls_errors": _bls(_ERRORS),
    "bls_unknown": _bls(_UNKNOWN),
    "bls_wrong": _bls(_WRONG),
    "bls_constructed": _bls(_CONSTRUCTED),
    "bls_sequence": _bls(_SEQUENCE),
    "bls_version": _bls(_VERSION),
    "bls_fields": _bls(_FIELDS),
    "bls_timeout": _bls(_TIMEOUT),
    "bls_nested": _bls(_NESTED),
    "bls_threads": _bls(_THREADS),
    "bls_ready": _bls(_READY),
    "bls_ensemble": _bls(_ENSEMBLE),
    "bls_kept": _bls(_KEPT),
    "bls_itself": _bls(_ITSELF),
}

_ECHO: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("OUT", each.inputs()[0].as_numpy())]) for each in requests]
"""
_ECHO_IO: Final = (
    'input { name: "IN" data_type: TYPE_FP32 dims: -1 } output { name: "OUT" data_type: TYPE_FP32 dims: -1 }\n'
)
_STEP: Final = """\
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        asked = pb.InferenceRequest(
            model_name="b_echo", requested_output_names=["OUT"], inputs=[pb.Tensor("IN", request.inputs()[0].as_numpy())]
        )
        return pb.InferenceResponse([pb.Tensor("OUT", asked.exec().output_tensors()[0].as_numpy() * 2)])
"""
_REPEAT: Final = """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for number in range(int(request.inputs()[0].as_numpy()[0])):
                sender.send(pb.InferenceResponse([pb.Tensor("OUT", np.array([number], np.int32))]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
_SHOW: Final = """\
import json
import time

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.version = args["model_version"]

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        text = request.inputs()[0].as_numpy().ravel()[0].decode()
        if text == "raise":
            raise ValueError("raised")
        if text == "error":
            return pb.InferenceResponse(error=pb.TritonError("sorry", pb.TritonError.NOT_FOUND))
        if text.startswith("wait"):
            print("b_show waits", flush=True)
            time.sleep(float(text[4:] or 0.5))
        fields = [request.request_id(), request.correlation_id(), request.flags(), request.timeout()]
        parts = [self.version, *fields, request.parameters(), sorted(request.requested_output_names())]
        return pb.InferenceResponse([pb.Tensor("OUT", np.array([json.dumps(parts)], object))])
"""
_SHOW_IO: Final = (
    'input { name: "IN" data_type: TYPE_STRING dims: 1 } output { name: "OUT" data_type: TYPE_STRING dims: 1 }\n'
)
_SUM: Final = """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        before = 0 if request.flags() & 1 else self.sums[request.correlation_id()]
        total = self.sums[request.correlation_id()] = before + request.inputs()[0].as_numpy()
        return pb.InferenceResponse([pb.Tensor("OUT", np.array(total, np.int32))])
"""

#: Models that are asked.
ASKED: Final[dict[str, PythonModel]] = {
    "b_echo": PythonModel(_ECHO, _ECHO_IO),
    "b_batched": PythonModel(_ECHO, _ECHO_IO + "max_batch_size: 4\n"),
    "b_step": PythonModel(_STEP, _ECHO_IO),
    "b_repeat": PythonModel(
        _REPEAT,
        'input { name: "IN" data_type: TYPE_INT32 dims: 1 } output { name: "OUT" data_type: TYPE_INT32 dims: 1 }\n'
        "model_transaction_policy { decoupled: true }\n",
    ),
    "b_show": PythonModel(_SHOW, _SHOW_IO),
    "b_versions": PythonModel(
        _SHOW,
        _SHOW_IO + "version_policy { specific { versions: [1, 3] } }\n",
        files={"2/model.py": _SHOW, "3/model.py": _SHOW},
    ),
    "b_slow": PythonModel(
        _SHOW,
        _SHOW_IO + "dynamic_batching { default_queue_policy { allow_timeout_override: true } }\n",
    ),
    "b_sum": PythonModel(
        _SUM,
        'max_batch_size: 4 input { name: "IN" data_type: TYPE_INT32 dims: 1 }\n'
        'output { name: "OUT" data_type: TYPE_INT32 dims: 1 }\n'
        "sequence_batching { max_sequence_idle_microseconds: 60000000 }\n",
    ),
}

_FP32: Final = ("FP32", "-1")

#: Ensembles of these: one that is asked, and one with a step that asks.
BLS_ENSEMBLES: Final[dict[str, Ensemble]] = {
    "b_both": Ensemble(
        {"E": _FP32},
        {"F": _FP32},
        (Step("b_echo", {"IN": "E"}, {"OUT": "t"}), Step("b_echo", {"IN": "t"}, {"OUT": "F"})),
        max_batch_size=0,
    ),
    "bls_inside": Ensemble(
        {"E": _FP32},
        {"F": _FP32},
        (Step("b_echo", {"IN": "E"}, {"OUT": "t"}), Step("b_step", {"IN": "t"}, {"OUT": "F"})),
        max_batch_size=0,
    ),
}

#: All of them but the ensembles.
BLS_MODELS: Final[dict[str, PythonModel]] = {**ASKING, **ASKED}


def write_bls_models(repository: Path, *names: str) -> Path:
    """These of them in a repository."""
    for name in names:
        if name in BLS_ENSEMBLES:
            BLS_ENSEMBLES[name].write(repository, name)
        else:
            BLS_MODELS[name].write(repository, name)
    return repository
