"""What a sequence's model gets besides its clients' inputs: controls, states, fillers. No process, no pool, no framework."""

# ruff: noqa: ARG002 - methods that stand in for others have their parameters

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import ControlSpec, SequenceBatcherSpec, StateSpec
from tis.errors import Code, TisError, internal
from tis_shm.pool import Pool
from tis_workers.backends.base import Arrays, TensorBackend
from tis_workers.output import OutputWriter, Parameters, Reservation
from tis_workers.regions import ClientRegions, Placements
from tis_workers.request import WorkRequest
from tis_workers.sequences import Filler, Sequences
from tis_workers.states import States, initial_states

Array = npt.NDArray[Any]
BODY = m.encode_body(m.WorkBody("", (), (), None))
FLAGS = (
    ControlSpec("S", "START", "INT32", 0, 1),
    ControlSpec("E", "END", "FP32", -1, 2),
    ControlSpec("R", "READY", "BOOL", 0, 1),
)
STATE = StateSpec("IN", "OUT", "INT32", (2,))


class Answers(OutputWriter):
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.replies: dict[int, dict[str, Any]] = {}
        self.failed: list[int] = []

    def reply(
        self,
        asker: int,
        request_id: int,
        outputs: list[tuple[str, Array, str]],
        placements: Placements | None = None,
        parameters: Parameters | None = None,
        *,
        final: bool = True,
        takes_data: bool = False,
    ) -> None:
        assert request_id not in self.replies
        self.replies[request_id] = {name: array.tolist() for name, array, _ in outputs}

    def fail(self, asker: int, request_id: int, error: TisError, *, final: bool = True) -> None:
        self.failed.append(request_id)

    def reserve(
        self, outputs: list[tuple[str, str, tuple[int, ...]]], placements: Placements | None = None
    ) -> Reservation | None:
        raise AssertionError("an answer in place has no states")


class Model(TensorBackend):
    """Remembers what it was given; a function says what it gives."""

    def __init__(self, spec: ModelSpec, gives: Callable[[Arrays], Arrays]) -> None:
        self.serve(spec)
        self.gives = gives
        self.seen: list[dict[str, Any]] = []

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        self.seen.append({name: array.tolist() for name, array in inputs.items()})
        given = self.gives(inputs)
        return {name: given[name] for name in outputs}


class Worker:
    """A worker's part in sequences, with a model whose output A is its input A unless said."""

    def __init__(
        self,
        sequences: SequenceBatcherSpec,
        gives: Callable[[Arrays], Arrays] = lambda inputs: inputs,
        *,
        max_batch_size: int = 4,
        outputs: tuple[str, ...] = ("A",),
        model_path: str = "",
    ) -> None:
        self.spec = ModelSpec(
            "m",
            1,
            "",
            "onnxruntime",
            max_batch_size,
            (TensorSpec("A", "INT32", (1,)),),
            tuple(TensorSpec(name, "INT32", (1,)) for name in outputs),
            sequences=sequences,
            model_path=model_path,
        )
        self.answers = Answers()
        self.model = Model(self.spec, gives)
        nothing = cast(Pool, None)
        self.sequences = Sequences(self.spec, nothing, self.answers, cast(ClientRegions, None))
        self._number = 0

    def request(self, value: int, slot: int, sequence: int | str, flags: str = "") -> WorkRequest:
        self._number += 1
        wishes = m.Wishes(0, 0, sequence, "start" in flags, "end" in flags)
        batched = self.spec.max_batch_size > 0
        made = self.sequences.request(m.BatchItem(self._number, 1, int(batched), BODY, wishes, slot))
        made.inputs["A"] = np.full((1, 1) if batched else (1,), value, np.int32)
        return made

    def filler(self) -> WorkRequest:
        return self.sequences.request(m.BatchItem(m.FILLER, m.FILLER, 1, m.encode_body(m.WorkBody("", (), (), ()))))

    def execute(self, *requests: WorkRequest) -> dict[str, Any]:
        """Run them; returns what the model saw."""
        self.sequences.execute(self.model, list(requests))
        return self.model.seen[-1]


# ---- controls ----------------------------------------------------------------------------------------------------------


def test_controls_say_what_the_flags_are_in_the_datatypes_and_values_of_the_config() -> None:
    worker = Worker(SequenceBatcherSpec(controls=FLAGS))
    flags = ("start", "", "end", "start end")
    seen = worker.execute(*(worker.request(7, slot, slot + 1, each) for slot, each in enumerate(flags)))
    assert seen == {
        "A": [[7]] * 4,
        "S": [[1], [0], [0], [1]],
        "E": [[-1.0], [-1.0], [2.0], [2.0]],
        "R": [[True]] * 4,
    }


def test_without_a_batch_dimension_controls_have_one_element() -> None:
    worker = Worker(SequenceBatcherSpec(controls=(*FLAGS, ControlSpec("C", "CORRID", "INT64"))), max_batch_size=0)
    assert worker.execute(worker.request(7, 0, 5, "start")) == {
        "A": [7],
        "S": [1],
        "E": [-1.0],
        "R": [True],
        "C": [5],
    }


@pytest.mark.parametrize(
    ("datatype", "sequence", "expected"),
    [
        ("UINT64", 2**64 - 1, 2**64 - 1),
        ("INT64", 2**64 - 1, -1),
        ("UINT32", 2**33 + 5, 5),
        ("INT32", 2**31 + 5, 5 - 2**31),
        ("BYTES", "näme", "näme".encode()),
    ],
)
def test_an_id_arrives_in_the_datatype_of_its_control(datatype: str, sequence: int | str, expected: object) -> None:
    worker = Worker(SequenceBatcherSpec(controls=(ControlSpec("C", "CORRID", datatype),)))
    assert worker.execute(worker.request(7, 0, sequence, "start"))["C"] == [[expected]]


# ---- fillers -----------------------------------------------------------------------------------------------------------


def test_fillers_look_like_a_request_but_are_not_ready_and_nobody_is_answered() -> None:
    worker = Worker(
        SequenceBatcherSpec(controls=(*FLAGS, ControlSpec("C", "CORRID", "BYTES")), states=(STATE,)), _stateful
    )
    seen = worker.execute(worker.filler(), worker.filler(), worker.request(7, 2, "c", "start end"))
    assert seen["R"] == [[False], [False], [True]]
    assert seen["S"] == [[0], [0], [1]]
    assert seen["E"] == [[-1.0], [-1.0], [2.0]]
    assert seen["C"] == [[b""], [b""], [b"c"]]
    assert seen["A"] == [[7], [7], [7]]
    assert seen["IN"] == [[0, 0]] * 3
    assert worker.answers.replies == {1: {"A": [[7]]}}


def test_a_request_that_cannot_run_leaves_a_filler_in_its_place() -> None:
    worker = Worker(SequenceBatcherSpec(controls=FLAGS))
    broken = worker.request(1, 0, 1)
    broken.fail(internal("no input"))
    assert worker.execute(broken, worker.request(2, 1, 2))["R"] == [[False], [True]]
    assert worker.answers.failed == [1]
    assert worker.answers.replies == {2: {"A": [[2]]}}


def test_the_oldest_strategy_needs_no_fillers() -> None:
    worker = Worker(SequenceBatcherSpec(controls=FLAGS, oldest=True))
    broken = worker.request(1, 0, 1)
    broken.fail(internal("no input"))
    assert worker.execute(broken, worker.request(2, 1, 2))["R"] == [[True]]


def test_nothing_runs_where_only_fillers_are_left() -> None:
    worker = Worker(SequenceBatcherSpec(controls=FLAGS))
    broken = worker.request(1, 1, 1)
    broken.fail(internal("no input"))
    worker.sequences.execute(worker.model, [worker.filler(), broken])
    assert worker.model.seen == []


def test_a_batch_that_fails_runs_again_one_by_one_with_its_fillers() -> None:
    def refuses_two(inputs: Arrays) -> Arrays:
        if inputs["A"].max() == 2:
            raise internal("two")
        return inputs

    worker = Worker(SequenceBatcherSpec(controls=FLAGS), refuses_two)
    worker.execute(worker.request(1, 0, 1), worker.filler(), worker.request(2, 2, 2))
    assert worker.answers.replies == {1: {"A": [[1]]}}
    assert worker.answers.failed == [2]


# ---- states ------------------------------------------------------------------------------------------------------------


def _stateful(inputs: Arrays) -> Arrays:
    """The state is what it was, plus the input."""
    return {"A": inputs["A"], "OUT": inputs["IN"] + inputs["A"]}


def test_a_state_is_what_the_model_gave_last_and_its_sequences_own() -> None:
    worker = Worker(SequenceBatcherSpec(states=(STATE,)), _stateful)
    assert worker.execute(worker.request(1, 0, 1, "start"), worker.request(5, 1, 2, "start"))["IN"] == [[0, 0], [0, 0]]
    assert worker.execute(worker.request(1, 0, 1), worker.request(5, 1, 2))["IN"] == [[1, 1], [5, 5]]
    assert worker.execute(worker.request(1, 1, 2))["IN"] == [[10, 10]]
    assert worker.execute(worker.request(1, 0, 3, "start"))["IN"] == [[0, 0]]


def test_a_state_is_answered_only_where_it_is_an_output_too() -> None:
    hidden = Worker(SequenceBatcherSpec(states=(STATE,)), _stateful)
    hidden.execute(hidden.request(3, 0, 1, "start"))
    assert hidden.answers.replies == {1: {"A": [[3]]}}
    shown = Worker(SequenceBatcherSpec(states=(STATE,)), _stateful, outputs=("A", "OUT"))
    shown.execute(shown.request(3, 0, 1, "start"))
    assert shown.answers.replies == {1: {"A": [[3]], "OUT": [[3, 3]]}}


def test_a_request_that_fails_leaves_the_state_as_it_was() -> None:
    def refuses_nine(inputs: Arrays) -> Arrays:
        if inputs["A"].max() == 9:
            raise internal("nine")
        return _stateful(inputs)

    worker = Worker(SequenceBatcherSpec(states=(STATE,)), refuses_nine)
    worker.execute(worker.request(4, 0, 1, "start"))
    worker.execute(worker.request(9, 0, 1))
    assert worker.execute(worker.request(1, 0, 1))["IN"] == [[4, 4]]


def test_a_start_that_cannot_run_never_leaves_the_state_of_another_sequence() -> None:
    worker = Worker(SequenceBatcherSpec(states=(STATE,)), _stateful)
    worker.execute(worker.request(4, 0, 1, "start"))
    broken = worker.request(1, 0, 2, "start")
    broken.fail(internal("no input"))
    assert worker.execute(worker.request(1, 0, 2))["IN"] == [[0, 0]]


def test_states_of_several_lengths_run_one_after_another() -> None:
    growing = StateSpec("IN", "OUT", "INT32", (-1,))

    def grows(inputs: Arrays) -> Arrays:
        return {"A": inputs["A"], "OUT": np.concatenate([inputs["IN"], inputs["A"]], axis=1)}

    worker = Worker(SequenceBatcherSpec(states=(growing,), controls=FLAGS), grows)
    worker.execute(worker.request(1, 0, 1, "start"), worker.filler(), worker.request(2, 2, 2, "start"))
    worker.execute(worker.request(3, 0, 1))
    worker.execute(worker.request(4, 0, 1), worker.filler(), worker.request(5, 2, 2))
    assert [seen["IN"] for seen in worker.model.seen[-2:]] == [[[0, 1, 3]], [[0, 2]]]
    assert set(worker.answers.replies) == {1, 2, 3, 4, 5}


def test_strings_come_back_as_bytes() -> None:
    states = States(_spec(StateSpec("IN", "OUT", "BYTES", (2,))))
    assert states.of(0)["IN"].tolist() == [[b"", b""]]
    states.keep(0, {"OUT": np.array([["é", "x"]], np.object_)})
    assert states.of(0)["IN"].tolist() == [["é".encode(), b"x"]]


def test_a_kept_state_does_not_hold_on_to_its_whole_batch() -> None:
    states = States(_spec(STATE))
    batch = np.zeros((100, 2), np.int32)
    states.keep(0, {"OUT": batch[3:4]})
    assert states.of(0)["IN"].base is None


def test_an_ended_sequence_leaves_nothing_behind() -> None:
    states = States(_spec(STATE))
    states.keep(0, {"OUT": np.ones((1, 2), np.int32)})
    states.end(0)
    assert states.of(0)["IN"].tolist() == [[0, 0]]


# ---- what a state begins with ------------------------------------------------------------------------------------------


def _spec(state: StateSpec, path: Path | str = "", max_batch_size: int = 4) -> ModelSpec:
    return ModelSpec(
        "m",
        1,
        "",
        "onnxruntime",
        max_batch_size,
        (),
        (),
        sequences=SequenceBatcherSpec(states=(state,)),
        model_path=str(path),
    )


def from_file(tmp_path: Path, content: bytes, datatype: str, shape: tuple[int, ...], file: str = "f") -> Any:
    (tmp_path / "initial_state").mkdir()
    (tmp_path / "initial_state" / "f").write_bytes(content)
    state = StateSpec("IN", "OUT", datatype, shape, initial_shape=shape, initial_file=file)
    return initial_states(_spec(state, tmp_path))["IN"].tolist()


def test_without_more_it_is_zeros_with_ones_for_variable_dimensions() -> None:
    assert initial_states(_spec(StateSpec("IN", "OUT", "FP32", (-1, 2))))["IN"].tolist() == [[[0.0, 0.0]]]
    assert initial_states(_spec(StateSpec("IN", "OUT", "BOOL", (2,)), max_batch_size=0))["IN"].tolist() == [
        False,
        False,
    ]
    shaped = StateSpec("IN", "OUT", "INT8", (-1,), initial_shape=(3,))
    assert initial_states(_spec(shaped))["IN"].tolist() == [[0, 0, 0]]


def test_a_file_holds_the_elements_row_by_row_and_may_be_too_long(tmp_path: Path) -> None:
    content = np.arange(9, dtype="<i2").tobytes()
    assert from_file(tmp_path, content, "INT16", (2, 3)) == [[[0, 1, 2], [3, 4, 5]]]


def test_a_file_of_strings_has_a_length_before_each(tmp_path: Path) -> None:
    assert from_file(tmp_path, b"\1\0\0\0a\2\0\0\0bc", "BYTES", (2,)) == [[b"a", b"bc"]]


@pytest.mark.parametrize(
    ("content", "datatype", "file", "code", "words"),
    [
        (
            b"\0" * 7,
            "FP64",
            "f",
            Code.INVALID_ARG,
            "expects 8 bytes, but the data provided from f only has 7 bytes.",
        ),
        (b"\1\0\0", "BYTES", "f", Code.INVALID_ARG, "a BYTES tensor ends inside an element"),
        (b"", "FP64", "g", Code.INTERNAL, "failed to open text file for read"),
        (b"", "FP64", "../../etc", Code.INVALID_ARG, "file '../../etc' of an initial state lies outside of"),
    ],
)
def test_a_file_that_holds_no_such_state_is_refused(
    tmp_path: Path, content: bytes, datatype: str, file: str, code: Code, words: str
) -> None:
    with pytest.raises(TisError) as caught:
        from_file(tmp_path, content, datatype, (1,), file)
    assert caught.value.code is code
    assert words in caught.value.message


def test_a_filler_is_a_request_like_any_other_to_a_backend() -> None:
    filler = Worker(SequenceBatcherSpec()).filler()
    assert isinstance(filler, Filler)
    filler.respond({"A": np.zeros((1, 1), np.int32)})
    filler.end()
    filler.fail(internal("x"))
    assert filler.reserve([("A", "INT32", (1, 1))]) is None
    assert filler.answered
