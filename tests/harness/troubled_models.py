"""Python models that get into trouble: they loop for ever, load for ever, or keep what they are given."""

from typing import Final

from tests.harness.python_models import PythonModel

_IO: Final = (
    'input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
    'output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]\n'
)
_HEAD: Final = "import os, time\nimport triton_python_backend_utils as pb\n"
_ANSWER: Final = """\
    def answer(self, request):
        given = pb.get_input_tensor_by_name(request, "INPUT0").as_numpy()
        while given[0] < 0 and not os.path.exists(os.path.join(os.path.dirname(__file__), "..", "go")):
            pass
        return pb.InferenceResponse([pb.Tensor("OUTPUT0", given)])

    def execute(self, requests):
        return [self.answer(request) for request in requests]
"""


def parameters(**values: float) -> str:
    """`execution_limit_s=2` as the parameter `tis.execution_limit_s` of a config."""
    return "".join(
        f'parameters {{ key: "tis.{name}" value {{ string_value: "{value}" }} }}\n' for name, value in values.items()
    )


def loops_in_execute(**limits: float) -> PythonModel:
    """Runs for ever on a negative number while there is no file `go` in its directory; else it answers with it."""
    return PythonModel(f"{_HEAD}class TritonPythonModel:\n{_ANSWER}", _IO + parameters(**limits))


def loops_in_initialize(**limits: float) -> PythonModel:
    """Never loads while there is no file `go` in its directory."""
    wait = """\
    def initialize(self, args):
        while not os.path.exists(os.path.join(args["model_repository"], "go")):
            pass

"""
    return PythonModel(f"{_HEAD}class TritonPythonModel:\n{wait}{_ANSWER}", _IO + parameters(**limits))


def leaks(kept_bytes: int, **limits: float) -> PythonModel:
    """Keeps so much more memory with every request."""
    grow = f"""\
    kept = []

    def execute(self, requests):
        for _ in requests:
            self.kept.append(bytearray(b"x") * {kept_bytes})
        return [self.answer(request) for request in requests]
"""
    source = f"{_HEAD}class TritonPythonModel:\n{_ANSWER.partition('    def execute')[0]}{grow}"
    return PythonModel(source, _IO + parameters(**limits))
