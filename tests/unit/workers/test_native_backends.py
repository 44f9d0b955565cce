"""The backends identity, repeat and square: what they answer, and configs that they refuse in Triton's words."""

from typing import Any

import numpy as np
import pytest

from tests.unit.workers.recorded import request_of
from tis.contracts.model_spec import InstanceSpec, ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_workers.backends import load_backend
from tis_workers.backends.base import Backend, LoadContext
from tis_workers.backends.threads import ThreadedBackend
from tis_workers.request import WorkRequest

INSTANCES = (InstanceSpec("m_0", "CPU"), InstanceSpec("m_1", "CPU"), InstanceSpec("m_2", "CPU"))
IN, DELAY, WAIT = (
    TensorSpec("IN", "INT32", (-1,)),
    TensorSpec("DELAY", "UINT32", (-1,)),
    TensorSpec("WAIT", "UINT32", (1,)),
)
OUT, IDX = TensorSpec("OUT", "INT32", (1,)), TensorSpec("IDX", "UINT32", (1,))
ONE = TensorSpec("IN", "INT32", (1,))


def spec_of(backend: str, inputs: Any, outputs: Any, *, max_batch_size: int = 0, **more: Any) -> ModelSpec:
    given = {"decoupled": backend != "identity", "instances": INSTANCES, **more}
    return ModelSpec("m", 1, "", backend, max_batch_size, inputs, outputs, **given)


REPEAT = spec_of("repeat", (IN, DELAY, WAIT), (OUT, IDX))
SQUARE = spec_of("square", (ONE,), (OUT,))


def refusal(spec: ModelSpec) -> str:
    with pytest.raises(TisError) as caught:
        load_backend(LoadContext(spec, INSTANCES[0], 1))
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def execute(backend: Backend, *requests: WorkRequest) -> None:
    """As the worker's loop does, and until all are answered."""
    if isinstance(backend, ThreadedBackend):
        with backend.backchannel.lock:
            backend.execute(list(requests))
        backend.wait()
    else:
        backend.execute(list(requests))


def answers(spec: ModelSpec, inputs: Any, **more: Any) -> list[tuple[Any, bool]]:
    backend = load_backend(LoadContext(spec, INSTANCES[0], 1))
    backend.serve(spec)
    request, recorder = request_of(spec, inputs, **more)
    execute(backend, request)
    assert request.answered
    return recorder.answers


def repeat(elements: list[int], delays: int | None = None) -> list[tuple[Any, bool]]:
    count = len(elements) if delays is None else delays
    given = np.array(elements, np.int32), np.zeros(count, np.uint32), np.zeros(1, np.uint32)
    return answers(REPEAT, dict(zip(("IN", "DELAY", "WAIT"), given, strict=True)))


# ---- identity ------------------------------------------------------------------------------------------------------


def identity(*datatypes: str, **more: Any) -> ModelSpec:
    inputs = tuple(TensorSpec(f"INPUT{index}", name, (2,), optional=index > 0) for index, name in enumerate(datatypes))
    outputs = tuple(TensorSpec(f"OUTPUT{index}", name, (2,)) for index, name in enumerate(datatypes))
    return spec_of("identity", inputs, outputs, **more)


def test_identity_copies_each_input_and_adds_tritons_parameters() -> None:
    spec = identity("FP32", "BYTES")
    backend = load_backend(LoadContext(spec, INSTANCES[0], 1))
    backend.serve(spec)
    strings = np.array([b"a", b"bc"], np.object_)
    request, recorder = request_of(spec, {"INPUT0": np.array([1, 2], np.float32), "INPUT1": strings})
    backend.execute([request])
    assert recorder.answers == [({"OUTPUT0": [1, 2], "OUTPUT1": [b"a", b"bc"]}, True)]
    assert recorder.parameters == [
        {"param0": "an example string parameter", "param1": 42, "param2": False, "param3": 123.123}
    ]


def test_identity_gives_zeros_for_an_optional_input_left_out() -> None:
    given = {"INPUT0": np.ones((3, 2), np.float32)}
    found = answers(identity("FP32", "INT64", "BYTES", max_batch_size=4), given, batch_size=3)
    assert found == [({"OUTPUT0": [[1, 1]] * 3, "OUTPUT1": [[0, 0]] * 3, "OUTPUT2": [[b"", b""]] * 3}, True)]
    assert answers(identity("FP32", "INT64"), {"INPUT0": np.ones(2, np.float32)}, outputs=(0,)) == [
        ({"OUTPUT0": [1, 1]}, True)
    ]


def test_identity_waits_by_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    parameters = {"execute_delay_ms": "20", "instance_wise_delay_multiplier": "3", "creation_delay_sec": "7"}
    for instance in INSTANCES:
        spec = identity("FP32", parameters=parameters)
        backend = load_backend(LoadContext(spec, instance, 1))
        backend.serve(spec)
        backend.execute([request_of(spec, {"INPUT0": np.ones(2, np.float32)})[0]])
    assert slept == [7, 0.02, 7, 0.06, 7, 0.12]
    assert "'execute_delay_ms'" in refusal(identity("FP32", parameters={"execute_delay_ms": "-1"}))


def test_identity_needs_pairs_of_inputs_and_outputs() -> None:
    def pair(given: TensorSpec, answered: TensorSpec) -> str:
        return refusal(spec_of("identity", (given,), (answered,)))

    tensor = TensorSpec("INPUT0", "FP32", (2,))
    assert refusal(spec_of("identity", (tensor,), ())) == "model configuration must have equal input/output pairs"
    assert pair(TensorSpec("IN", "FP32", (2,)), TensorSpec("OUTPUT0", "FP32", (2,))) == (
        "expected input name to follow INPUT<index> pattern, got 'IN'"
    )
    assert pair(tensor, TensorSpec("OUT", "FP32", (2,))) == (
        "expected output name to follow OUTPUT<index> pattern, got 'OUT'"
    )
    assert pair(tensor, TensorSpec("OUTPUT1", "FP32", (2,))) == "expected input and output indices to match"
    assert pair(tensor, TensorSpec("OUTPUT0", "INT8", (2,))) == (
        "expected input and output datatype to match, got TYPE_FP32 and TYPE_INT8"
    )
    assert pair(tensor, TensorSpec("OUTPUT0", "FP32", (3,))) == (
        "expected input and output shape to match, got [2] and [3]"
    )


# ---- repeat --------------------------------------------------------------------------------------------------------


def test_repeat_sends_each_element_and_a_bare_end() -> None:
    expected = [({"OUT": [7], "IDX": [0]}, False), ({"OUT": [-3], "IDX": [1]}, False), (None, True)]
    assert repeat([7, -3]) == expected
    assert repeat([]) == [(None, True)]
    assert repeat([1, 2], 3) == [("expected IN and DELAY shape to match, got [2] and [3]", True)]


def test_repeat_answers_requests_at_once_and_keeps_its_instance_no_longer_than_it_is_told() -> None:
    backend = load_backend(LoadContext(REPEAT, INSTANCES[0], 1))
    assert isinstance(backend, ThreadedBackend)
    backend.serve(REPEAT)
    slow, quick = (
        request_of(REPEAT, {"IN": np.array([7], np.int32), "DELAY": delay, "WAIT": np.zeros(1, np.uint32)})
        for delay in (np.array([3_600_000], np.uint32), np.zeros(1, np.uint32))
    )
    with backend.backchannel.lock:
        backend.execute([slow[0]])
        backend.execute([quick[0]])
    # The instance goes: the delay of an hour ends with it.
    backend.finalize()
    assert quick[1].answers == [({"OUT": [7], "IDX": [0]}, False), (None, True)]
    assert slow[1].answers[-1] == (None, True)


def test_repeat_refuses_other_configs() -> None:
    def other(inputs: Any = (IN, DELAY, WAIT), outputs: Any = (OUT, IDX), **more: Any) -> str:
        return refusal(spec_of("repeat", inputs, outputs, **more))

    assert other(max_batch_size=1) == "repeat backend only supports models with max_batch_size == 0"
    assert other((IN,)) == "expected 3 inputs, got 1"
    assert other(outputs=(OUT,)) == "expected 2 outputs, got 1"
    assert other((DELAY, IN, WAIT)) == "expected first input tensor name to be IN, got DELAY"
    assert other(outputs=(OUT, OUT)) == "expected second output tensor name to be IDX, got OUT"
    assert (
        other((TensorSpec("IN", "INT32", (2,)), DELAY, WAIT))
        == "expected IN and DELAY shape to match, got [2] and [-1]"
    )
    assert other((IN, DELAY, TensorSpec("WAIT", "UINT32", (2,)))) == "expected WAIT shape to be [1], got [2]"
    assert other((TensorSpec("IN", "FP32", (-1,)), DELAY, WAIT)) == "expected IN datatype to be INT32, got TYPE_FP32"
    assert "model_transaction_policy { decoupled: true }" in other(decoupled=False)


# ---- square --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 0, 1, 4])
def test_square_says_a_number_as_often_as_it_is_large(number: int) -> None:
    expected = [({"OUT": [number]}, False)] * max(number, 0)
    assert answers(SQUARE, {"IN": np.array([number], np.int32)}) == [*expected, (None, True)]


def test_square_takes_one_item_of_a_batching_model() -> None:
    batching = spec_of("square", (ONE,), (OUT,), max_batch_size=4)
    assert answers(batching, {"IN": np.array([[1]], np.int32)}) == [({"OUT": [[1]]}, False), (None, True)]
    assert answers(batching, {"IN": np.array([[1], [2]], np.int32)}) == [("unexpected shape for IN input", True)]


def test_the_last_responses_of_square_fail_and_stay_away_as_its_parameters_say() -> None:
    spec = spec_of("square", (ONE,), (OUT,), parameters={"CUSTOM_FAIL_COUNT": "2", "CUSTOM_EMPTY_COUNT": "1"})
    failure = ("simulated failure", False)
    assert answers(spec, {"IN": np.array([4], np.int32)}) == [({"OUT": [4]}, False), failure, failure, (None, True)]
    assert answers(spec, {"IN": np.array([2], np.int32)}) == [failure, (None, True)]


def test_square_stops_where_its_request_was_cancelled() -> None:
    backend = load_backend(LoadContext(SQUARE, INSTANCES[0], 1))
    request, recorder = request_of(SQUARE, {"IN": np.array([4], np.int32)})
    request.cancelled = True
    execute(backend, request)
    assert recorder.answers == [(None, True)]


def test_square_refuses_other_configs() -> None:
    assert refusal(spec_of("square", (ONE, ONE), (OUT,))) == "expected 1 input, got 2"
    assert refusal(spec_of("square", (IN,), (OUT,))) == "expected IN shape to be [1], got [-1]"
    assert refusal(spec_of("square", (ONE,), (IDX,))) == "expected first output tensor name to be OUT, got IDX"
