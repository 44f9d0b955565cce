"""What goes wrong in Python models: every request of the batch is told, in Triton's words, and the model goes on."""

import pytest

from tests.e2e.python_server import python_face, python_server, refused, said
from tests.harness.faces import Face
from tests.harness.server import Server
from tests.harness.waiting import eventually

__all__ = ["python_face", "python_server"]

HEAD = "Failed to process the request(s) for model 'code_0_0', message: "


def place(server: Server, code_lines: str = "  <string>(1): <module>\n") -> str:
    line = next(
        number
        for number, text in enumerate((server.repository / "code/1/model.py").read_text().splitlines(), 1)
        if "exec(code" in text
    )
    return f"\n\nAt:\n{code_lines}  {server.repository}/code/1/model.py({line}): execute\n"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("raise ValueError()", "ValueError: <EMPTY MESSAGE>"),
        ("raise KeyError('k')", "KeyError: 'k'"),
        ("raise pb.TritonModelException('mine')", "TritonModelException: mine"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt()", "KeyboardInterrupt: <EMPTY MESSAGE>"),
        ("pb.Tensor('', np.zeros(1))", "TritonModelException: Tensor name cannot be an empty string."),
        ("pb.Tensor('a', np.zeros(1, complex))", "TritonModelException: NumPy dtype is not supported."),
        ("pb.Tensor('a', np.array(['u']))", "TritonModelException: NumPy dtype is not supported."),
        (
            "request.inputs()[0].to_dlpack()",
            "TritonModelException: DLPack does not have support for string tensors.",
        ),
        (
            "request.get_response_sender().send()",
            "TritonModelException: Inference Response object must be provided when the response flags is set to zero.",
        ),
        (
            "request.get_response_sender().send(R(1), 2)",
            "TritonModelException: Unable to send response. Unsupported flag provided.",
        ),
        (
            "request.get_response_sender().send(flags=1)",
            "TritonModelException: Unable to send response. Non-decoupled model cannot send complete final before "
            "sending a response.",
        ),
    ],
)
def test_an_exception_is_told_with_its_place(python_face: Face, python_server: Server, code: str, text: str) -> None:
    error = refused(python_face, code)
    assert error.status in ("500", "INTERNAL")
    assert error.text == HEAD + text + place(python_server)
    assert said(python_face, "out = [R('alive')]") == "alive"


def test_places_are_listed_from_the_innermost(python_face: Face, python_server: Server) -> None:
    error = refused(python_face, "def f():\n  return 1 / 0\nf()")
    lines = "  <string>(2): f\n  <string>(3): <module>\n"
    assert error.text == HEAD + "ZeroDivisionError: division by zero" + place(python_server, lines)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("7", "Expected a list in the execute return, found type '<class 'int'>'."),
        ("(R(1),)", "Expected a list in the execute return, found type '<class 'tuple'>'."),
        (
            "[7]",
            "Expected an 'InferenceResponse' object in the execute function return list, found type '<class 'int'>'.",
        ),
        (
            "[]",
            "Number of InferenceResponse objects do not match the number of InferenceRequest objects. InferenceRequest(s) "
            "size is:1, and InferenceResponse(s) size is:0\n",
        ),
        (
            "[R(1), R(2)]",
            "Number of InferenceResponse objects do not match the number of InferenceRequest objects. InferenceRequest(s) "
            "size is:1, and InferenceResponse(s) size is:2\n",
        ),
    ],
)
def test_execute_has_to_return_a_list_of_as_many_responses(python_face: Face, returned: str, text: str) -> None:
    assert refused(python_face, f"out = {returned}").text == HEAD + text


@pytest.mark.parametrize("returned", ["None", "[None]"])
def test_a_request_without_response_and_sender_is_told_so(python_face: Face, returned: str) -> None:
    assert "model 'code' gave no response" in refused(python_face, f"out = {returned}").text


def test_a_string_that_cannot_be_encoded_fails_only_its_request(python_face: Face) -> None:
    assert "UnicodeEncodeError" in refused(python_face, "out = [R('\\ud800')]").text


@pytest.mark.parametrize(
    ("code", "statuses"),
    [
        ("UNKNOWN", ("400", "UNKNOWN")),
        ("INTERNAL", ("500", "INTERNAL")),
        ("NOT_FOUND", ("404", "NOT_FOUND")),
        ("INVALID_ARG", ("400", "INVALID_ARGUMENT")),
        ("UNAVAILABLE", ("503", "UNAVAILABLE")),
        ("UNSUPPORTED", ("501", "UNIMPLEMENTED")),
        ("ALREADY_EXISTS", ("400", "ALREADY_EXISTS")),
        ("CANCELLED", ("400", "CANCELLED")),
    ],
)
def test_an_error_response_keeps_its_code_and_its_text(python_face: Face, code: str, statuses: tuple[str, str]) -> None:
    error = refused(python_face, f"out = [pb.InferenceResponse(error=pb.TritonError('mine', pb.TritonError.{code}))]")
    assert error.text == "mine"
    assert error.status in statuses


def counts(face: Face, model: str) -> tuple[int, int, int]:
    shown = face.ask("get_inference_statistics", model)["model_stats"][0]
    stats = shown["inference_stats"]
    return (
        int(stats["success"].get("count", 0)),
        int(stats["fail"].get("count", 0)),
        int(shown.get("execution_count", 0)),
    )


@pytest.mark.parametrize(
    ("code", "counted"),
    [
        ("out = [R(1)]", (1, 0, 1)),
        ("out = [pb.InferenceResponse(error=pb.TritonError('e'))]", (1, 0, 1)),
        ("raise ValueError()", (0, 1, 1)),
        ("out = []", (0, 1, 1)),
    ],
)
def test_an_error_response_counts_as_success_and_an_exception_as_failure(
    python_face: Face, code: str, counted: tuple[int, int, int]
) -> None:
    # No other test here asks that model, and this one leaves when all of its own is counted.
    before = counts(python_face, "code_async")
    if counted[0] and "error" not in code:
        said(python_face, code, "code_async")
    else:
        refused(python_face, code, "code_async")
    wanted = tuple(one + other for one, other in zip(before, counted, strict=True))
    eventually(lambda: counts(python_face, "code_async") == wanted, f"the counts are {wanted}")
