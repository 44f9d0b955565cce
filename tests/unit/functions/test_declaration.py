"""What `@tis.model` reads from a function: its specs, and what it refuses with which words."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest

import tis
from tis.functions import Batching, Declaration, DeclarationError, Tensor, declaration_of
from tis.functions.config import full_config

Array = npt.NDArray[Any]
Floats = Annotated[Array, tis.tensor("FP32", [-1])]
Named = Annotated[Array, tis.tensor(np.int64, [2, -1], name="counts")]
X = {"x": tis.tensor("FP32", [-1])}
Y = {"y": tis.tensor("FP32", [-1])}


def declared(function: object) -> Declaration:
    found = declaration_of(function)
    assert found is not None
    return found


def plain(x: Array) -> Array:
    return 2 * x


# ---- tensors and batching --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("FP32", "FP32"),
        (np.float32, "FP32"),
        (np.dtype("int8"), "INT8"),
        (bool, "BOOL"),
        (str, "BYTES"),
        (bytes, "BYTES"),
    ],
)
def test_a_datatype_is_a_protocol_name_or_a_numpy_type(given: object, name: str) -> None:
    assert tis.tensor(given, [3, -1]) == Tensor(name, (3, -1))


@pytest.mark.parametrize("given", ["FP31", "TYPE_FP32", "BF16", np.complex64, "float32", None, object])
def test_other_datatypes_are_refused_with_those_there_are(given: object) -> None:
    with pytest.raises(DeclarationError, match="one of the datatypes BOOL, UINT8"):
        tis.tensor(given, [1])


@pytest.mark.parametrize("dims", [[], [0], [-2], [1.0], 3, [True]])
def test_dims_that_are_none_are_refused(dims: Any) -> None:
    with pytest.raises(DeclarationError, match=r"got "):
        tis.tensor("FP32", dims)


@pytest.mark.parametrize("arguments", [{"max_size": 0}, {"delay_us": -1}, {"max_size": 1.5}, {"delay_us": True}])
def test_batching_that_makes_no_sense_is_refused(arguments: Any) -> None:
    with pytest.raises(DeclarationError, match=next(iter(arguments))):
        tis.batching(**arguments)


# ---- functions -------------------------------------------------------------------------------------------------------


def test_a_declared_function_is_the_function_itself() -> None:
    same = tis.model(inputs=X, outputs=Y)(plain)
    assert same is plain
    assert same(np.ones(2)).tolist() == [2, 2]


def test_a_declaration_says_what_was_given_and_where_it_stands() -> None:
    @tis.model(inputs=X, outputs=Y, batching=tis.batching(16, 500), instances=2, gpu=True, name="other")
    def f(x: Array, scale: float = 1.0) -> Array:
        return x * scale

    found = declared(f)
    assert (found.name, found.instances, found.gpu, found.decoupled) == ("other", 2, True, False)
    assert (found.batching, found.optional) == (Batching(16, 500), frozenset())
    assert (found.file, found.line) == (__file__, f.__code__.co_firstlineno)
    assert full_config(found) == {
        "name": "other",
        "backend": "python",
        "max_batch_size": 16,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}],
        "instance_group": [{"name": "other", "kind": "KIND_GPU", "count": 2}],
        "dynamic_batching": {"max_queue_delay_microseconds": 500},
    }


def test_annotations_stand_for_the_specs() -> None:
    @tis.model
    def f(a: Floats, b: Floats | None = None) -> tuple[Floats, Named]:
        return a, a

    found = declared(f)
    assert found.inputs == {"a": tis.tensor("FP32", [-1]), "b": tis.tensor("FP32", [-1])}
    assert found.optional == {"b"}
    assert list(found.outputs) == ["output0", "counts"]
    assert full_config(found)["input"][1]["optional"] is True


def test_a_single_output_without_a_name_is_called_output() -> None:
    @tis.model(batching=True)
    def f(a: Floats) -> Floats:
        return a

    assert list(declared(f).outputs) == ["output"]
    assert declared(f).batching == Batching()


def test_a_function_that_yields_is_decoupled_and_its_annotation_is_that_of_an_iterator() -> None:
    @tis.model
    def f(a: Floats) -> Iterator[Named]:
        yield a

    assert declared(f).decoupled
    assert list(declared(f).outputs) == ["counts"]
    assert full_config(declared(f))["model_transaction_policy"] == {"decoupled": True}


def test_a_class_is_declared_by_its_call() -> None:
    @tis.model
    class Model:
        def __call__(self, a: Floats) -> Floats:
            return a

    class Child(Model):
        pass

    assert declared(Model).name == "Model"
    assert Model()(np.ones(1)).tolist() == [1]
    assert declaration_of(Child) is None, "what derives from a model is none by itself"
    assert list(declared(tis.model(Child)).inputs) == ["a"]


def everything(**arrays: Array) -> Array:
    return arrays["x"]


def test_a_function_that_takes_everything_has_the_inputs_that_are_named() -> None:
    assert list(declared(tis.model(inputs=X, outputs=Y)(everything)).inputs) == ["x"]


# ---- refusals --------------------------------------------------------------------------------------------------------


async def asynchronous(x: Array) -> Array:
    return x


def positional(x: Array, /) -> Array:
    return x


def two(x: Array, z: Array) -> Array:
    return x + z


def yields(x: Array) -> Iterator[Array]:
    yield x


class NotCalled:
    pass


def unreadable(x: "Nowhere") -> Array:  # type: ignore[name-defined]  # noqa: F821
    return np.asarray(x)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (asynchronous, {"inputs": X, "outputs": Y}, "asynchronous"),
        (positional, {"inputs": X, "outputs": Y}, "'x' cannot be given by name"),
        (two, {"inputs": X, "outputs": Y}, "parameter 'z' is no input and has no default"),
        (plain, {"inputs": {"w": X["x"]}, "outputs": Y}, "input 'w' is no parameter of the function, which has x"),
        (plain, {"outputs": Y}, "nothing says what the input 'x' is"),
        (plain, {"inputs": X}, "nothing says what the outputs are"),
        (plain, {"inputs": {}, "outputs": Y}, "at least one"),
        (plain, {"inputs": X, "outputs": {"y": "FP32"}}, r"`outputs` has a `tis.tensor\(datatype, dims\)`"),
        (plain, {"inputs": X, "outputs": Y, "instances": 0}, "`instances` is a number from 1 on"),
        (plain, {"inputs": X, "outputs": Y, "batching": 4}, "`batching` is True, False or"),
        (plain, {"inputs": X, "outputs": Y, "name": "a/b"}, "has no slash"),
        (plain, {"inputs": X, "outputs": Y, "name": ".a"}, "begins with no dot"),
        (yields, {"inputs": X, "outputs": Y, "batching": True}, "leave `batching` out"),
        (NotCalled, {"inputs": X, "outputs": Y}, "no method `__call__`"),
        (unreadable, {}, "annotations cannot be read"),
        (3, {"inputs": X, "outputs": Y}, "stands before a function or a class"),
    ],
)
def test_what_cannot_be_served_is_refused_where_it_is_declared(function: Any, arguments: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        tis.model(**arguments)(function)


def test_a_refusal_names_model_file_and_line() -> None:
    with pytest.raises(DeclarationError) as caught:
        tis.model(inputs=X, outputs=Y)(two)
    assert str(caught.value).startswith(f"model 'two' ({__file__}:{two.__code__.co_firstlineno}): ")


# ---- importing -------------------------------------------------------------------------------------------------------


def test_importing_tis_loads_nothing_else() -> None:
    program = "import sys, tis; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"numpy", "msgspec", "zmq", "tis_workers"} == set()
    assert not hasattr(tis, "no_such_name")


def test_mypy_keeps_a_functions_type(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(
        "import tis\n"
        'T = tis.tensor("FP32", [1])\n'
        '@tis.model(inputs={"x": T}, outputs={"y": T}, batching=tis.batching(4))\n'
        "def f(x: int) -> float:\n    return 1.0\n"
        "@tis.model\nclass C:\n    def __call__(self, x: int) -> bytes:\n        return b''\n"
        "reveal_type(f)\nreveal_type(C()(1))\n"
        "f('no')\n"
    )
    root = Path(tis.__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={tmp_path}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=root, check=False)
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert lines == [
        'note: Revealed type is "def (x: int) -> float"',
        'note: Revealed type is "bytes"',
        'error: Argument 1 to "f" has incompatible type "str"; expected "int"  [arg-type]',
    ]
