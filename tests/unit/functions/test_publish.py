"""A repository made of a file: what is written, what is left alone, what goes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tis.functions import DeclarationError
from tis.functions.file import declarations_of, function_of
from tis.functions.publish import publish
from tis.repository.definition import read_definition
from tis.repository.layout import model_directory

ONE: Final = (
    "T = tis.tensor('FP32', [1])\n\n\n@tis.model(inputs={'x': T}, outputs={'y': T})\ndef one(x):\n    return x\n"
)
TWO: Final = (
    "\n\n@tis.model(inputs={'x': T}, outputs={'y': T}, batching=tis.batching(4, 9))\ndef two(x):\n    return x\n"
)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    paths, names = list(sys.path), set(sys.modules)
    yield tmp_path / "some_app.py"
    sys.path[:] = paths
    for name in set(sys.modules) - names:
        del sys.modules[name]


def published(app: Path, source: str) -> dict[str, int]:
    """Publish it as a process of its own would, which knows no module yet; times of change of what there is then."""
    sys.modules.pop(app.stem, None)
    app.write_text("import tis\n\n" + source)
    repository = app.parent / "made"
    publish(app, repository)
    files = [path for path in repository.rglob("*") if path.is_file()]
    return {path.relative_to(repository).as_posix(): path.stat().st_mtime_ns for path in files}


def test_each_function_is_a_model_with_a_whole_config(app: Path) -> None:
    assert published(app, ONE + TWO).keys() == {
        "one/config.json",
        "one/1/model.py",
        "two/config.json",
        "two/1/model.py",
    }
    definition = read_definition(model_directory(app.parent / "made" / "two"), auto_complete=False)
    assert definition.config.dynamic_batching.max_queue_delay_microseconds == 9
    assert json.loads((app.parent / "made" / "one" / "config.json").read_text())["backend"] == "python"


def test_what_has_not_changed_is_left_alone_and_what_is_gone_is_removed(app: Path) -> None:
    first = published(app, ONE + TWO)
    assert published(app, ONE + TWO) == first
    later = published(app, ONE)
    assert later.keys() == {"one/config.json", "one/1/model.py"}
    assert later["one/config.json"] == first["one/config.json"], "its config is the same"
    assert later["one/1/model.py"] != first["one/1/model.py"], "its code may have changed"


def test_functions_of_other_modules_count_where_a_file_imports_them(app: Path) -> None:
    (app.parent / "elsewhere_of_app.py").write_text("import tis\n\n" + ONE)
    assert published(app, "from elsewhere_of_app import T, one\n" + TWO).keys() >= {
        "one/config.json",
        "two/config.json",
    }


def test_a_file_may_bear_the_name_of_a_module_that_is_there_already(app: Path) -> None:
    known = app.with_name("json.py")
    known.write_text("import tis\n\n" + ONE)
    assert list(declarations_of(known)) == ["one"]
    assert sys.modules["json"] is json


def test_a_function_that_is_not_there_is_missed_with_those_there_are(app: Path) -> None:
    published(app, ONE)
    assert function_of(app, "one").__name__ == "one"  # type: ignore[attr-defined]
    with pytest.raises(DeclarationError, match="has no function that is model 'three'; it has one"):
        function_of(app, "three")


@pytest.mark.parametrize(("source", "words"), [("", "declares no model"), (ONE + ONE, "")])
def test_a_file_without_models_is_refused_and_the_later_of_two_of_a_name_counts(
    app: Path, source: str, words: str
) -> None:
    if not words:
        assert "one/config.json" in published(app, source)
        return
    with pytest.raises(DeclarationError, match=words):
        published(app, source)
