"""Models written in Python, which both servers run from the same files: identities, a chain of BLS, streams, an ensemble.

The ensemble has the shape of the one in `model_repository` that reads words on a picture: the same five steps with tensors of
the same kinds and sizes. The reference package carries only the Python backend, so what are ONNX models there are numpy work
of some hundred microseconds here: what is compared is all that a server does around them.
"""

from dataclasses import dataclass
from pathlib import Path

IDENTITY = '''\
"""Identity: every request gets its input back."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer one batch of requests."""
        responses = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "INPUT0")
            output = pb_utils.Tensor("OUTPUT0", tensor.as_numpy())
            responses.append(pb_utils.InferenceResponse([output]))
        return responses
'''

CHAIN = '''\
"""Asks three models, each with what the one before has answered."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer one batch of requests."""
        return [self.answer(request) for request in requests]

    def answer(self, request):
        """Answer one request."""
        tensor = pb_utils.get_input_tensor_by_name(request, "INPUT0")
        for name in ("link_first", "link_second", "link_third"):
            asked = pb_utils.InferenceRequest(
                model_name=name,
                requested_output_names=["OUTPUT0"],
                inputs=[pb_utils.Tensor("INPUT0", tensor.as_numpy())],
            )
            response = asked.exec()
            if response.has_error():
                raise pb_utils.TritonModelException(response.error().message())
            tensor = pb_utils.get_output_tensor_by_name(response, "OUTPUT0")
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", tensor.as_numpy())])
'''

STREAM = '''\
"""Answers each request with its input a thousand times."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer one batch of requests."""
        for request in requests:
            sender = request.get_response_sender()
            tensor = pb_utils.get_input_tensor_by_name(request, "INPUT0")
            for _ in range(1000):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", tensor.as_numpy())]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
'''

STEP = '''\
"""One step of the ensemble."""

import numpy as np
import triton_python_backend_utils as pb_utils

INPUTS, OUTPUTS = {inputs}, {outputs}


def step({parameters}):
    {work}


class TritonPythonModel:
    """The model."""

    def execute(self, requests):
        """Answer one batch of requests."""
        responses = []
        for request in requests:
            arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in INPUTS]
            outputs = [pb_utils.Tensor(name, array) for name, array in zip(OUTPUTS, step(*arrays))]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
'''

#: A picture of the ensemble, as a file and decoded, and the words on it.
FILE_FLOATS = 11_250
HEIGHT, WIDTH = 480, 640
WORDS, LETTERS = 8, 25
#: What the answer holds: the words, each with its length before it, and a box of four corners for each.
READ_BYTES = WORDS * (4 + LETTERS) + WORDS * 8 * 4

PREPARE = f"""\
picture = np.resize(file, (1, {HEIGHT}, {WIDTH}, 3))
    return picture, np.ones((1, 1), np.float32)
"""
DETECT = """\
cells = picture[:, ::4, ::4]
    return np.ascontiguousarray(cells[..., :1]), np.concatenate([cells, cells[..., :2]], axis=3)
"""
CROP = f"""\
best = np.sort(np.argpartition(scores.ravel(), -{WORDS})[-{WORDS}:])
    rows, columns = best // {WIDTH // 4} * 4 % {HEIGHT - 32}, best % {WIDTH // 4} * 4 % {WIDTH - 100}
    crops = [picture[0, y : y + 32, x : x + 100].mean(axis=2) for y, x in zip(rows, columns)]
    return np.stack(crops)[:, np.newaxis], np.repeat(geometry[0, 0, :{WORDS}, :1], 8, axis=1).reshape(-1, 4, 2) / scale
"""
RECOGNIZE = f"""\
weights = np.linspace(-1, 1, 128 * 37, dtype=np.float32).reshape(128, 37)
    return (crops.reshape(-1, {LETTERS}, 128) @ weights,)
"""
READ = """\
letters = logits.argmax(axis=2) + 48
    return (np.array([[bytes(word.astype(np.uint8))] for word in letters], np.object_),)
"""


@dataclass(frozen=True)
class Script:
    """A model to be written: its config, and the model.py where it has one."""

    name: str
    config: str
    model_py: str = ""

    def write(self, folder: Path) -> None:
        """Write it into a repository."""
        version = folder / self.name / "1"
        version.mkdir(parents=True)
        (folder / self.name / "config.pbtxt").write_text(self.config)
        if self.model_py:
            (version / "model.py").write_text(self.model_py)


#: Name, datatype and dims.
Tensor = tuple[str, str, str]

FILE, SCALE = ("FILE", "FP32", "-1"), ("SCALE", "FP32", "1")
PICTURE = ("PICTURE", "FP32", "-1, -1, 3")
SCORES, GEOMETRY = ("SCORES", "FP32", "-1, -1, 1"), ("GEOMETRY", "FP32", "-1, -1, 5")
CROPS, BOXES = ("CROPS", "FP32", "1, 32, 100"), ("BOXES", "FP32", "4, 2")
LOGITS, WORD = ("LOGITS", "FP32", f"{LETTERS}, 37"), ("WORD", "STRING", "1")


def _step(name: str, max_batch_size: int, inputs: list[Tensor], outputs: list[Tensor], work: str) -> Script:
    names_in, names_out = [each[0] for each in inputs], [each[0] for each in outputs]
    return Script(
        name,
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {max_batch_size}\n'
        + "".join(_tensor("input", each) for each in inputs)
        + "".join(_tensor("output", each) for each in outputs)
        + "instance_group [ { kind: KIND_CPU } ]\n",
        STEP.format(
            inputs=names_in, outputs=names_out, parameters=", ".join(name.lower() for name in names_in), work=work
        ),
    )


def _tensor(kind: str, tensor: Tensor) -> str:
    name, datatype, dims = tensor
    return f'{kind} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]\n'


def ensemble(name: str) -> tuple[Script, ...]:
    """The ensemble that reads words, and its steps; `INPUT0` is the picture's file, as floats."""
    steps: list[tuple[str, int, list[Tensor], list[Tensor], str]] = [
        ("ocr_prepare", 1, [FILE], [PICTURE, SCALE], PREPARE),
        ("ocr_detect", 1, [PICTURE], [SCORES, GEOMETRY], DETECT),
        ("ocr_crop", 1, [SCORES, GEOMETRY, PICTURE, SCALE], [CROPS, BOXES], CROP),
        ("ocr_recognize", 64, [CROPS], [LOGITS], RECOGNIZE),
        ("ocr_read", 64, [LOGITS], [WORD], READ),
    ]
    public = {"FILE": "INPUT0"}
    config = f'name: "{name}"\nplatform: "ensemble"\nmax_batch_size: 1\n'
    config += _tensor("input", ("INPUT0", *FILE[1:])) + _tensor("output", WORD) + _tensor("output", BOXES)
    config += "ensemble_scheduling {\n"
    for model, _size, inputs, outputs, _work in steps:
        config += f'  step [ {{ model_name: "{model}" model_version: -1\n'
        for each in inputs:
            config += f'    input_map {{ key: "{each[0]}" value: "{public.get(each[0], each[0])}" }}\n'
        for each in outputs:
            config += f'    output_map {{ key: "{each[0]}" value: "{each[0]}" }}\n'
        config += "  } ]\n"
    return (*(_step(*step) for step in steps), Script(name, config + "}\n"))
