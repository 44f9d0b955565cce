"""The one model.py of all scenarios, the same on both servers. It does what its requests ask, and notes what it is given.

A request's input DO is JSON, of which the first item counts:

- `hold`: the execution lasts until the client makes the file of this name in the folder of the config's parameter;
- `ms`: the execution lasts so long;
- `error`: the request is answered with this error; `raise`: the execution fails with it;
- `again`: so many times the request wants to be executed again;
- `responses`: so many responses of a decoupled model, with `bad` among them an error in the place of this one;
- `watch`: the execution lasts until the request is cancelled, for a while at most.

Every execution is a line in a file of its instance: when it began, and each request as the model sees it.
"""

from pathlib import Path
from typing import Final

SOURCE: Final = """\
import json
import os
import time

import numpy as np
import triton_python_backend_utils as pb

CONTROLS = ("START", "END", "READY", "CORRID")


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.folder = config["parameters"]["folder"]["string_value"]
        self.log = os.path.join(self.folder, args["model_name"] + "." + args["model_instance_name"] + ".log")
        self.decoupled = config.get("model_transaction_policy", {}).get("decoupled", False)
        self.passes = {}

    def execute(self, requests):
        began_ns = time.monotonic_ns()
        seen = [self.seen(request) for request in requests]
        self.note({"began_ns": began_ns, "requests": seen})
        wanted = [self.wanted(request) for request in requests]
        for each in wanted:
            if "hold" in each:
                self.wait_for(os.path.join(self.folder, each["hold"]))
        time.sleep(max(each.get("ms", 0) for each in wanted) / 1000)
        for request, each in zip(requests, wanted):
            if each.get("watch"):
                self.watch(request)
            if "raise" in each:
                raise RuntimeError(each["raise"])
        if self.decoupled:
            for request, each in zip(requests, wanted):
                self.talk(request, each)
            return None
        return [self.answer(request, each) for request, each in zip(requests, wanted)]

    def seen(self, request):
        controls = {}
        for name in CONTROLS:
            tensor = pb.get_input_tensor_by_name(request, name)
            if tensor is not None:
                value = tensor.as_numpy().ravel()[0]
                controls[name] = value.decode() if isinstance(value, bytes) else np.asarray(value).item()
        items = pb.get_input_tensor_by_name(request, "DO").as_numpy().shape[0]
        told = {"id": request.request_id(), "items": items, "controls": controls, "flags": request.flags()}
        return {**told, "correlation": request.correlation_id(), "timeout": request.timeout()}

    def wanted(self, request):
        ready = pb.get_input_tensor_by_name(request, "READY")
        if ready is not None and not ready.as_numpy().ravel()[0]:
            return {}
        return json.loads(pb.get_input_tensor_by_name(request, "DO").as_numpy().ravel()[0])

    def answer(self, request, wanted):
        if "error" in wanted:
            return pb.InferenceResponse(error=pb.TritonError(wanted["error"]))
        if wanted.get("again", 0) > self.passes.get(request.request_id(), 0):
            self.passes[request.request_id()] = self.passes.get(request.request_id(), 0) + 1
            request.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return None
        self.passes.pop(request.request_id(), None)
        return self.response(request, request.request_id())

    def response(self, request, text):
        items = pb.get_input_tensor_by_name(request, "DO").as_numpy().shape[0]
        shape = [items, 1] if len(pb.get_input_tensor_by_name(request, "DO").as_numpy().shape) > 1 else [1]
        return pb.InferenceResponse([pb.Tensor("SEEN", np.full(shape, text.encode(), object))])

    def talk(self, request, wanted):
        sender = request.get_response_sender()
        for number in range(wanted.get("responses", 1)):
            if wanted.get("bad") == number:
                sender.send(pb.InferenceResponse(error=pb.TritonError("bad response")))
            else:
                sender.send(self.response(request, str(number)))
        sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def watch(self, request):
        sender = request.get_response_sender()
        until_s = time.monotonic() + 5
        while not sender.is_cancelled() and time.monotonic() < until_s:
            time.sleep(0.005)
        self.note({"watched": request.request_id(), "cancelled": sender.is_cancelled()})

    def wait_for(self, path):
        until_s = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < until_s:
            time.sleep(0.002)

    def note(self, what):
        with open(self.log, "a") as file:
            file.write(json.dumps(what) + "\\n")
"""

CONTROLS: Final = """
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ -1, 2 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
"""

_TENSORS: Final = """\
input [ { name: "DO" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "SEEN" data_type: TYPE_STRING dims: [ 1 ] } ]
"""


def batched(scheduling: str, *, most: int = 8, count: int = 1, more: str = "") -> str:
    """The config of a model but for its head."""
    return f"max_batch_size: {most}\n{scheduling}\ninstance_group [ {{ kind: KIND_CPU count: {count} {more} }} ]\n"


def ensemble(inputs: str, outputs: str, *steps: str, most: int = 8) -> str:
    """The config of an ensemble; a step is `model tensor -> tensor`."""
    text = f'platform: "ensemble"\nmax_batch_size: {most}\n'
    for side, names in (("input", inputs), ("output", outputs)):
        for name in names.split():
            text += f'{side} [ {{ name: "{name}" data_type: TYPE_STRING dims: [ 1 ] }} ]\n'
    parts = []
    for step in steps:
        model, source, target = step.replace("->", " ").split()
        parts.append(
            f'{{ model_name: "{model}" model_version: -1 input_map {{ key: "DO" value: "{source}" }} '
            f'output_map {{ key: "SEEN" value: "{target}" }} }}'
        )
    return f"{text}ensemble_scheduling {{ step [ {', '.join(parts)} ] }}\n"


def write(repository: Path, name: str, config: str, folder: Path) -> None:
    """Add a model to a repository; its instances write their lines into `folder`."""
    (repository / name / "1").mkdir(parents=True)
    if "ensemble_scheduling" not in config:
        (repository / name / "1" / "model.py").write_text(SOURCE)
        parameter = f'parameters {{ key: "folder" value {{ string_value: "{folder}" }} }}\n'
        config = f'backend: "python"\n{_TENSORS}{parameter}{config}'
    (repository / name / "config.pbtxt").write_text(config)
