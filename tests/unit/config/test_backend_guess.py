from pathlib import Path
from typing import Any

import pytest

from tis.config.backend_guess import first_version_files, with_backend
from tis.config.source import parse_text
from tis.errors import Code, TisError


def guess(text: str = "", name: str = "m", **files: bool) -> tuple[str, str, str]:
    entries = {f"model.{suffix}": is_directory for suffix, is_directory in files.items()}
    config = with_backend(parse_text(text, "p"), name, entries)
    return config.platform, config.backend, config.default_model_filename


@pytest.mark.parametrize(
    ("suffix", "is_directory", "expected"),
    [
        ("savedmodel", True, ("tensorflow_savedmodel", "tensorflow", "model.savedmodel")),
        ("graphdef", False, ("tensorflow_graphdef", "tensorflow", "model.graphdef")),
        ("plan", False, ("tensorrt_plan", "tensorrt", "model.plan")),
        ("onnx", False, ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ("onnx", True, ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ("xml", False, ("", "openvino", "model.xml")),
        ("pt", False, ("pytorch_libtorch", "pytorch", "model.pt")),
        ("py", False, ("", "python", "model.py")),
    ],
)
def test_a_known_file_gives_backend_platform_and_filename(
    suffix: str, is_directory: bool, expected: tuple[str, str, str]
) -> None:
    files: dict[str, Any] = {suffix: is_directory}
    assert guess(**files) == expected


def test_among_several_known_files_the_order_is_tritons() -> None:
    assert guess(py=False, onnx=False, pt=False)[1] == "onnxruntime"
    assert guess(py=False, savedmodel=True, onnx=False)[1] == "tensorflow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('platform: "onnxruntime_onnx"', ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ('backend: "onnxruntime"', ("onnxruntime_onnx", "onnxruntime", "model.onnx")),
        ('backend: "python"', ("", "python", "model.py")),
        ('backend: "pytorch"', ("pytorch_libtorch", "pytorch", "model.pt")),
        ('backend: "pytorch" runtime: "model.py"', ("pytorch_libtorch", "pytorch", "")),
        ('backend: "mine"', ("", "mine", "")),
        (
            'backend: "tensorflow" default_model_filename: "model.graphdef"',
            ("tensorflow_graphdef", "tensorflow", "model.graphdef"),
        ),
        ('platform: "tensorflow_savedmodel"', ("tensorflow_savedmodel", "tensorflow", "model.savedmodel")),
        ('backend: "onnxruntime" default_model_filename: "a.onnx"', ("onnxruntime_onnx", "onnxruntime", "a.onnx")),
        ('default_model_filename: "model.py"', ("", "python", "model.py")),
        ('platform: "nonsense"', ("nonsense", "", "")),
        ('platform: "ensemble"', ("ensemble", "", "")),
    ],
)
def test_what_the_config_says_decides_over_files(text: str, expected: tuple[str, str, str]) -> None:
    assert guess(text, plan=False) == expected


def test_a_tensorflow_model_without_platform_takes_it_from_its_file() -> None:
    assert guess('backend: "tensorflow"', savedmodel=True) == (
        "tensorflow_savedmodel",
        "tensorflow",
        "model.savedmodel",
    )
    assert guess('backend: "tensorflow"') == ("", "tensorflow", "")


def test_a_suffix_of_the_model_name_is_the_last_hint() -> None:
    assert guess(name="model.identity") == ("", "identity", "model.identity")
    assert guess(name="a.b.c") == ("", "b.c", "model.b.c")


def test_no_hint_at_all_fails_in_tritons_words() -> None:
    with pytest.raises(TisError) as caught:
        guess(name="idf")
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        "Invalid model name: Could not determine backend for model 'idf' with no backend in model configuration. "
        "Expected model name of the form 'model.<backend_name>'."
    )


def test_the_directory_gives_the_name_only_where_the_config_has_none() -> None:
    assert with_backend(parse_text('backend: "python"', "p"), "m", {}).name == "m"
    assert with_backend(parse_text('backend: "python" name: "x"', "p"), "m", {}).name == "x"


def test_the_given_config_is_left_alone() -> None:
    config = parse_text("", "p")
    with_backend(config, "m", {"model.py": False})
    assert config.ByteSize() == 0


def test_only_the_first_version_in_lexical_order_is_looked_at(tmp_path: Path) -> None:
    for version, file in (("10", "model.onnx"), ("2", "model.py"), (".git", "x"), ("configs", "y")):
        (tmp_path / version).mkdir()
        (tmp_path / version / file).touch()
    (tmp_path / "0").touch()
    assert first_version_files(tmp_path) == {"model.onnx": False}


def test_a_model_without_versions_has_no_files(tmp_path: Path) -> None:
    assert first_version_files(tmp_path) == {}
    with pytest.raises(TisError, match="failed to open directory"):
        first_version_files(tmp_path / "absent")
