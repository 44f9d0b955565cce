"""What every backend promises, whatever its framework."""

import os
import re

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.frameworks.serving import ALONE, PAIR, Served
from tests.frameworks.subject import ROWS
from tests.harness.faces import Call, refusal
from tests.harness.repository import one_cpu
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_answer_is_the_frameworks_own(served: Served, protocol: str) -> None:
    served.check(served.ask(PAIR, protocol=protocol))
    served.check(served.ask(PAIR, slice(2, 3), protocol), slice(2, 3))


def test_requests_of_several_clients_run_as_one_batch_and_each_gets_its_own_rows(served: Served) -> None:
    # A machine that stands still for a moment tears a batch of all apart; what must not be is that none ever comes.
    for _ in range(5):
        for row, answer in enumerate(served.ask_at_once(PAIR, ROWS)):
            served.check(answer, slice(row, row + 1))
        if served.together():
            return
    raise AssertionError("clients' requests never ran together")


def test_several_instances_are_processes_of_their_own_and_answer_alike(served: Served) -> None:
    runs = rf"of model '{PAIR}' version 1 runs as process (\d+)"
    pids = {int(pid) for pid in re.findall(runs, served.server.log())}
    assert len(pids) == 2
    assert pids <= set(served.server.processes())
    for row, answer in enumerate(served.ask_at_once(PAIR, 4 * ROWS)):
        served.check(answer, slice(row % ROWS, row % ROWS + 1))


def test_a_config_is_completed_from_the_model_or_its_lack_is_told(served: Served) -> None:
    subject = served.subject
    if not subject.completes:
        served.put_model("silent")
        subject.write_config(served.repository, "silent", extra=one_cpu(), tensors=False)
        assert re.search(subject.incomplete, served.load("silent"))
        return
    assert served.load(ALONE) == ""
    config = served.config(ALONE)
    for side, tensors in (("input", subject.inputs), ("output", subject.outputs)):
        assert {each["name"] for each in config[side]} == {tensor.name for tensor in tensors}
        for tensor in tensors:
            (found,) = [each for each in config[side] if each["name"] == tensor.name]
            typed = "TYPE_STRING" if tensor.datatype == "BYTES" else f"TYPE_{tensor.datatype}"
            assert (found["data_type"], tuple(map(int, found["dims"]))) == (typed, tensor.dims)
    assert config["max_batch_size"] >= 4
    served.check(served.ask(ALONE, slice(3)), slice(3))


def test_a_changed_model_is_served_after_a_reload_and_an_unload_gives_its_process_back(served: Served) -> None:
    # As it was put there at the start: a load of what has not changed is none.
    assert served.load(ALONE) == ""
    served.check(served.ask(ALONE, slice(3)), slice(3), seed=0)
    old = served.server.worker_of(ALONE).pid
    target = served.put_model(ALONE, seed=1)
    for path in (target, *target.parent.rglob("*")):
        os.utime(path)
    assert served.load(ALONE) == ""
    served.check(served.ask(ALONE, slice(3)), slice(3), seed=1)
    new = served.server.worker_of(ALONE).pid
    assert new != old
    assert served.control("unload_model", ALONE) == ""
    eventually(lambda: not {old, new} & set(served.server.processes()), "the model's processes have ended")
    served.check(served.ask(PAIR))


def test_a_spoilt_file_is_refused_with_the_reason_and_nothing_else_suffers(served: Served) -> None:
    target = served.put_model("spoilt")
    served.subject.spoil(target)
    served.subject.write_config(served.repository, "spoilt", max_batch_size=ROWS, extra=one_cpu())
    told = served.load("spoilt")
    assert re.search(served.subject.spoilt, told)
    assert "Traceback (most recent call last)" not in told
    served.check(served.ask(PAIR))


def test_a_wrong_datatype_in_the_config_is_told(served: Served) -> None:
    subject = served.subject
    if subject.datatypes_checked == "never":
        pytest.skip("this format takes any datatype")
    tensor = subject.inputs[0]
    wrong = "INT64" if tensor.datatype != "INT64" else "FP32"
    served.put_model("mistyped")
    types = {tensor.name: wrong}
    subject.write_config(served.repository, "mistyped", max_batch_size=ROWS, extra=one_cpu(), datatypes=types)
    told = served.load("mistyped")
    if subject.datatypes_checked == "request":
        assert told == ""
        values = np.zeros(served.prepared.inputs[tensor.name].shape, np.int64 if wrong == "INT64" else np.float32)
        with served.face("http") as face:
            told = refusal(face, Call("mistyped", {**served.prepared.inputs, tensor.name: values})).text
        assert served.control("unload_model", "mistyped") == ""
    assert re.search(subject.mistyped, told), told
    assert "Traceback (most recent call last)" not in told
    served.check(served.ask(PAIR))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_inputs_that_do_not_fit_the_config_are_refused_and_the_next_request_is_served(
    served: Served, protocol: str
) -> None:
    tensor = served.subject.inputs[0]
    right = served.prepared.inputs[tensor.name]
    others = {name: array for name, array in served.prepared.inputs.items() if name != tensor.name}
    wrong_type = right.astype(np.float64) if tensor.datatype != "BYTES" else np.zeros(right.shape, np.float64)
    wrong_shape = np.concatenate([right[..., None]] * 2, axis=-1)
    with served.face(protocol) as face:
        for values, words in ((wrong_type, "data-type"), (wrong_shape, "shape|dimension")):
            said = refusal(face, Call(PAIR, {**others, tensor.name: values}))
            assert re.search(words, said.text), said
            assert said.status in ("400", "INVALID_ARGUMENT")
        with pytest.raises(InferenceServerException):
            face.infer(Call(PAIR, served.prepared.inputs, outputs=["there is no such output"]))
    served.check(served.ask(PAIR, protocol=protocol))
