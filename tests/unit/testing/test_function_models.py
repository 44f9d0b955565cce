"""Declared functions run by the Python backend itself: what they are given, and what becomes of what they give."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tis.testing import LoadedModel, ModelError, load_model

HEAD: Final = """\
import numpy as np
import tis

ANY = tis.tensor("FP32", [-1])
ONE = tis.tensor("INT32", [1])
TEXT = tis.tensor("BYTES", [1])


"""

Load = Callable[..., LoadedModel]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Loads the only function of a source."""
    loaded: list[LoadedModel] = []

    def load(source: str, name: str = "") -> LoadedModel:
        path = tmp_path / f"functions_{len(loaded)}.py"
        path.write_text(HEAD + source)
        loaded.append(load_model(path, name=name))
        return loaded[-1]

    yield load
    for model in loaded:
        model.finalize()


def failure(model: LoadedModel, **inputs: Any) -> str:
    with pytest.raises(ModelError) as caught:
        model.infer(inputs)
    return caught.value.message


# ---- what is given -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "returned", ["(x + 1, [len(x)])", "{'b': [len(x)], 'a': x + 1}", "(x + 1, np.array([len(x)], np.int32))"]
)
def test_outputs_are_a_tuple_in_order_or_a_dict_by_name(load: Load, returned: str) -> None:
    source = f"@tis.model(inputs={{'x': ANY}}, outputs={{'a': ANY, 'b': ONE}})\ndef f(x):\n    return {returned}\n"
    answer = load(source).infer({"x": [1, 2]})
    assert {name: array.tolist() for name, array in answer.items()} == {"a": [2, 3], "b": [2]}


def test_strings_are_bytes_on_the_way_in_and_anything_on_the_way_out(load: Load) -> None:
    source = "@tis.model(inputs={'x': TEXT}, outputs={'y': TEXT})\ndef f(x):\n    return ['ü' + repr(x[0])]\n"
    assert load(source).infer({"x": ["é"]})["y"].tolist() == ["üb'\\xc3\\xa9'".encode()]


def test_an_input_with_a_default_may_be_left_out(load: Load) -> None:
    decorator = "@tis.model(inputs={'x': ANY, 'k': ONE}, outputs={'y': ANY})"
    source = f"{decorator}\ndef f(x, k=(3,)):\n    return x * np.float32(k[0])\n"
    model = load(source)
    assert model.infer({"x": [2]})["y"].tolist() == [6]
    assert model.infer({"x": [2], "k": [5]})["y"].tolist() == [10]


def test_a_class_is_made_once_and_closed_at_the_end(load: Load, tmp_path: Path) -> None:
    source = (
        "@tis.model(inputs={'x': ONE}, outputs={'y': ONE})\nclass F:\n"
        "    def __init__(self):\n        self.calls = 0\n"
        "    def __call__(self, x):\n        self.calls += 1\n        return [self.calls]\n"
        f"    def close(self):\n        open({str(tmp_path / 'closed')!r}, 'w').close()\n"
    )
    model = load(source)
    assert [model.infer({"x": [0]})["y"].item() for _ in range(3)] == [1, 2, 3]
    model.finalize()
    assert (tmp_path / "closed").exists()


# ---- batches -----------------------------------------------------------------------------------------------------------

BATCHED: Final = """\
@tis.model(inputs={"x": ANY, "k": ONE}, outputs={"rows": ONE, "y": ANY}, batching=True)
def f(x, k=None):
    if (x == 13).any():
        raise ValueError("unlucky")
    return np.full((len(x), 1), len(x), np.int32), x * 2
"""


def test_requests_of_a_batch_are_one_call_and_each_gets_its_rows(load: Load) -> None:
    answers = load(BATCHED).batch([{"x": [[1.0, 2]]}, {"x": [[3.0, 4], [5, 6]]}])
    assert [each["rows"].ravel().tolist() for each in answers if isinstance(each, dict)] == [[3], [3, 3]]
    assert [each["y"].tolist() for each in answers if isinstance(each, dict)] == [[[2, 4]], [[6, 8], [10, 12]]]


def test_requests_that_differ_in_shape_or_inputs_are_called_apart(load: Load) -> None:
    answers = load(BATCHED).batch([{"x": [[1.0]]}, {"x": [[1.0, 2]]}, {"x": [[1.0]], "k": [[1]]}, {"x": [[7.0]]}])
    assert [each["rows"].item() for each in answers if isinstance(each, dict)] == [2, 1, 1, 2]


def test_only_the_culprit_of_a_batch_fails(load: Load) -> None:
    good, bad, other = load(BATCHED).batch([{"x": [[1.0]]}, {"x": [[13.0]]}, {"x": [[2.0]]}])
    assert isinstance(bad, ModelError)
    assert bad.message.startswith("model 'f' failed: ValueError: unlucky\n\nAt:\n")
    assert isinstance(good, dict)
    assert isinstance(other, dict)
    assert (good["y"].item(), other["y"].item()) == (2, 4)


# ---- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batching", "returned", "words"),
    [
        (False, "x.astype(np.float64)", "output 'y' has the numpy type float64, declared is FP32"),
        (False, "x[None]", "output 'y' has the shape [1, 2], declared is [-1]"),
        (False, "'text'", "output 'y' is no array of FP32"),
        (False, "None", "the function gave no output 'y'"),
        (False, "(x, x)", "the function gave 2 values for the outputs y"),
        (False, "{'z': x}", "the function gave no output 'y', only z"),
        (False, "{'y': x, 'z': x}", "the function gave an output 'z', declared are y"),
        (True, "x[:0]", "output 'y' has the shape [0, 2], declared is [-1] behind a batch of 1"),
        (True, "x[0]", "output 'y' has the shape [2], declared is [-1] behind a batch of 1"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_an_error_at_the_function(
    load: Load, batching: bool, returned: str, words: str
) -> None:
    decorator = f"@tis.model(inputs={{'x': ANY}}, outputs={{'y': ANY}}, batching={batching})"
    model = load(f"{decorator}\ndef f(x):\n    return {returned}\n")
    text = failure(model, x=np.ones((1, 2) if batching else 2, np.float32))
    line = HEAD.count("\n") + 1
    assert text.startswith(f"model 'f' failed: {words}")
    assert f"functions_0.py({line}): f\n" in text


def test_an_exception_names_the_places_in_the_file_innermost_first(load: Load) -> None:
    source = (
        "def inner():\n    raise KeyError('k')\n\n\n@tis.model(inputs={'x': ANY}, outputs={'y': ANY})\n"
        "def f(x):\n    return inner()\n"
    )
    text, first = failure(load(source), x=[1]), HEAD.count("\n") + 1
    assert text.startswith("model 'f' failed: KeyError: 'k'\n\nAt:\n  ")
    assert [line.rpartition("/")[2] for line in text.splitlines()[3:]] == [
        f"functions_0.py({first + 1}): inner",
        f"functions_0.py({first + 6}): f",
    ]


def test_a_class_that_cannot_be_made_keeps_the_model_from_loading(load: Load) -> None:
    source = (
        "@tis.model(inputs={'x': ONE}, outputs={'y': ONE})\nclass F:\n"
        "    def __init__(self):\n        raise OSError('no weights')\n    def __call__(self, x):\n        return x\n"
    )
    with pytest.raises(ModelError, match=r"OSError: no weights\n\nAt:\n  .*functions_0.py\(\d+\): __init__"):
        load(source)


def test_a_function_for_gpus_needs_one(load: Load) -> None:
    with pytest.raises(ModelError, match="instance group f of model f has kind KIND_GPU but no GPUs are available"):
        load("@tis.model(inputs={'x': ANY}, outputs={'y': ANY}, gpu=True)\ndef f(x):\n    return x\n")


# ---- streams -----------------------------------------------------------------------------------------------------------

STREAM: Final = """\
@tis.model(inputs={"n": ONE}, outputs={"i": ONE})
def f(n):
    for i in range(n[0]):
        if i == 2:
            raise ValueError("two is too many")
        yield [i]
"""


def test_a_function_that_yields_gives_a_response_each_time(load: Load) -> None:
    model = load(STREAM)
    assert [each["i"].item() for each in model.stream({"n": [2]})] == [0, 1]
    assert list(model.stream({"n": [0]})) == []


def test_an_exception_between_yields_ends_the_stream_as_an_error(load: Load) -> None:
    responses = load(STREAM).stream({"n": [3]})
    assert [next(responses)["i"].item() for _ in range(2)] == [0, 1]
    with pytest.raises(ModelError, match="two is too many"):
        next(responses)


# ---- files and repositories --------------------------------------------------------------------------------------------

TWO: Final = BATCHED + STREAM.replace("def f", "def g").replace("@tis.model(", "@tis.model(name='g', ")


def test_one_of_several_functions_of_a_file_is_chosen_by_name(load: Load) -> None:
    assert load(TWO, "g").spec.decoupled
    with pytest.raises(ModelError, match="declares f, g; say which of them"):
        load(TWO)
    with pytest.raises(ModelError, match="not 'h'"):
        load(TWO, "h")


def test_two_functions_of_a_file_cannot_be_the_same_model(load: Load) -> None:
    with pytest.raises(ModelError, match=r"two models are called 'f', at .*py:\d+ and at .*py:\d+"):
        load(TWO.replace("name='g'", "name='f'"))


def write(repository: Path, name: str, source: str, config: str | None = None) -> Path:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(HEAD + source)
    if config is not None:
        (repository / name / "config.pbtxt").write_text(config)
    return repository / name


def test_a_function_in_a_repository_completes_its_config(tmp_path: Path) -> None:
    source = BATCHED.replace("batching=True", "batching=tis.batching(4, 700), instances=3")
    with load_model(write(tmp_path, "anything", source)) as model:
        spec = model.spec
        assert (spec.name, spec.max_batch_size, spec.inputs_by_name["k"].optional) == ("anything", 4, True)
        assert spec.batcher is not None
        assert spec.batcher.max_queue_delay_us == 700
        assert [each.name for each in spec.instances] == ["anything_0", "anything_1", "anything_2"]
        assert model.infer({"x": [[1.0]]})["rows"].item() == 1


def test_a_function_in_a_repository_is_chosen_by_the_models_name(tmp_path: Path) -> None:
    with load_model(write(tmp_path, "g", TWO)) as model:
        assert model.spec.decoupled
    with pytest.raises(ModelError, match="has the functions f, g in its module, none of which is called so"):
        load_model(write(tmp_path, "h", TWO))


def test_a_config_may_say_more_than_the_function(tmp_path: Path) -> None:
    config = "max_batch_size: 2\ninstance_group { count: 2 kind: KIND_CPU }\n"
    with load_model(write(tmp_path, "m", BATCHED, config)) as model:
        assert (model.spec.max_batch_size, len(model.spec.instances)) == (2, 2)


WHOLE: Final = """\
max_batch_size: 2
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }, { name: "k" data_type: TYPE_INT32 dims: [ 1 ] optional: true } ]
output [ { name: "rows" data_type: TYPE_INT32 dims: [ 1 ] }, { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
"""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("TYPE_FP32", "TYPE_FP64", "expects datatype TYPE_FP64 for input 'x', model provides TYPE_FP32"),
        ("dims: [ -1 ]", "dims: [ 3 ]", "the model expects dims"),
        ('name: "y"', 'name: "z"', "an output 'z', which the function does not declare"),
        ("max_batch_size: 2", "", ""),
    ],
)
def test_a_config_must_not_contradict_the_function(tmp_path: Path, before: str, after: str, words: str) -> None:
    folder = write(tmp_path, "m", BATCHED, WHOLE.replace(before, after, 1))
    if not words:
        with load_model(folder) as model:
            assert model.spec.max_batch_size == 8
        return
    with pytest.raises(ModelError, match=words):
        load_model(folder)
