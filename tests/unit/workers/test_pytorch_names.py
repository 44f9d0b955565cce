"""Which argument an input is, and which result an output: Triton's rules for PyTorch, which need no PyTorch."""

import pytest

from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import BatchInputSpec, ControlSpec, SequenceBatcherSpec, StateSpec
from tis.errors import Code, TisError
from tis_workers.backends.pytorch_names import index_of, input_positions, output_positions

CONTROLS = (ControlSpec("START__2", "START", "FP32"), ControlSpec("READY__3", "READY", "FP32"))
STATE = (StateSpec("STATE__1", "NEXT__1", "FP32", (1,)),)


def spec(
    inputs: str,
    outputs: str = "y",
    *,
    sequences: SequenceBatcherSpec | None = None,
    batch_inputs: tuple[BatchInputSpec, ...] = (),
) -> ModelSpec:
    given, answered = (tuple(TensorSpec(name, "FP32", (4,)) for name in names.split()) for names in (inputs, outputs))
    return ModelSpec("m", 1, "", "pytorch", 4, given, answered, sequences=sequences, batch_inputs=batch_inputs)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("X__0", 0),
        ("X__12", 12),
        ("__3", 3),
        ("X", None),
        ("X__", None),
        ("X__a", None),
        ("X__1__2", None),
        ("X__²", None),
    ],
)
def test_an_index_is_all_that_stands_behind_the_first_two_underscores(name: str, index: int | None) -> None:
    assert index_of(name) == index


@pytest.mark.parametrize(
    ("inputs", "arguments", "positions"),
    [
        ("b a", ("a", "b"), {"b": 1, "a": 0}),
        ("X__1 X__0", ("a", "b"), {"X__1": 1, "X__0": 0}),
        ("X__1 X__0", None, {"X__1": 1, "X__0": 0}),
        ("b other", ("a", "b"), {"b": 0, "other": 1}),
        ("X__1 other", ("a", "b"), {"X__1": 0, "other": 1}),
        ("X__1", ("X__1",), {"X__1": 0}),
    ],
    ids=["arguments", "indices", "indices of unknown arguments", "order", "order again", "an argument before an index"],
)
def test_inputs_are_arguments_or_indices_or_in_order(
    inputs: str, arguments: tuple[str, ...] | None, positions: dict[str, int]
) -> None:
    assert input_positions(spec(inputs), arguments) == positions


def test_a_dictionary_takes_any_names() -> None:
    assert list(input_positions(spec("b X__7"), None, takes_dict=True)) == ["b", "X__7"]


def test_batch_inputs_controls_and_states_are_inputs_too() -> None:
    counts = (BatchInputSpec("ELEMENT_COUNT", ("COUNT",), "FP32", "x"),)
    assert input_positions(spec("x y", batch_inputs=counts), None) == {"x": 0, "y": 1, "COUNT": 2}
    sequences = SequenceBatcherSpec(controls=CONTROLS, states=STATE)
    found = input_positions(spec("X__0", sequences=sequences), ("a", "b", "c", "d"))
    assert found == {"X__0": 0, "START__2": 2, "READY__3": 3, "STATE__1": 1}
    named = SequenceBatcherSpec(controls=(ControlSpec("start", "START", "FP32"),))
    assert input_positions(spec("x", sequences=named), ("start", "x")) == {"x": 1, "start": 0}
    with pytest.raises(TisError, match=r"input 'start' does not follow <name>__<index> naming convention\."):
        input_positions(spec("x", sequences=named), None)


@pytest.mark.parametrize(
    ("inputs", "arguments", "code", "words"),
    [
        ("", ("a",), Code.INTERNAL, "must contain at least one input, none were specified."),
        ("a", ("a", "b"), Code.INVALID_ARG, "configuration expects 1 inputs, model provides 2"),
        ("X__0 Y__0", ("a", "b"), Code.INVALID_ARG, "inputs 'X__0' and 'Y__0' of model 'm' have the same index 0"),
        ("X__0 X__5", ("a", "b"), Code.INVALID_ARG, "the indices 0 to 1, got 0, 5; its arguments are a, b"),
    ],
)
def test_inputs_that_do_not_fit_are_told(inputs: str, arguments: tuple[str, ...], code: Code, words: str) -> None:
    with pytest.raises(TisError) as caught:
        input_positions(spec(inputs), arguments)
    assert (caught.value.code, words in caught.value.message) == (code, True)


def test_outputs_are_indices_or_in_order() -> None:
    assert output_positions(spec("x", "B__1 A__0")) == {"B__1": 1, "A__0": 0}
    assert output_positions(spec("x", "B__1 A")) == {"B__1": 0, "A": 1}
    sequences = SequenceBatcherSpec(states=STATE)
    assert output_positions(spec("x", "A__0", sequences=sequences)) == {"A__0": 0, "NEXT__1": 1}
    with pytest.raises(TisError, match="must contain at least one output"):
        output_positions(spec("x", ""))
    unnamed = SequenceBatcherSpec(states=(StateSpec("STATE__1", "next", "FP32", (1,)),))
    with pytest.raises(TisError, match="output 'next' does not follow <name>__<index> naming convention"):
        output_positions(spec("x", "A__0", sequences=unnamed))
