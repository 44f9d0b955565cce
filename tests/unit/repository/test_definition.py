from pathlib import Path

import pytest

from tis.errors import Code, TisError
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.layout import model_directory

TENSORS = 'input { name: "A" data_type: TYPE_FP32 dims: 1 } output { name: "X" data_type: TYPE_FP32 dims: 1 } '


def make(root: Path, config: str | None, *files: str) -> Path:
    model = root / "m"
    for file in files:
        (model / file).parent.mkdir(parents=True, exist_ok=True)
        (model / file).touch()
    if config is not None:
        model.mkdir(exist_ok=True)
        (model / "config.pbtxt").write_text(config)
    return model


def read(path: Path, *, auto_complete: bool = True, override: str | None = None) -> ModelDefinition:
    return read_definition(model_directory(path), auto_complete=auto_complete, override=override)


def fault(path: Path, **options: object) -> TisError:
    with pytest.raises(TisError) as caught:
        read(path, **options)  # type: ignore[arg-type]
    return caught.value


def test_a_directory_with_only_a_model_file_is_a_definition(tmp_path: Path) -> None:
    model = make(tmp_path, None, "1/model.onnx", "3/model.onnx", "007/model.onnx")
    definition = read(model)
    assert (definition.name, definition.path) == ("m", model)
    assert definition.selection.versions == (3,)
    assert definition.model_file(3) == model / "3" / "model.onnx"
    assert (definition.config.backend, definition.config.platform) == ("onnxruntime", "onnxruntime_onnx")
    assert not definition.config_provided
    assert not definition.config.instance_group
    assert len(definition.warnings) == 1


def test_a_config_is_read_normalized_and_kept_without_completion(tmp_path: Path) -> None:
    model = make(
        tmp_path,
        'backend: "python" max_batch_size: 8 dynamic_batching { } version_policy { all { } } default_model_filename: "x.py"',
        "1/x.py",
        "2/x.py",
    )
    definition = read(model)
    assert definition.config_provided
    assert definition.selection.versions == (1, 2)
    assert definition.model_file(2) == model / "2" / "x.py"
    assert list(definition.config.dynamic_batching.preferred_batch_size) == [8]
    assert not definition.config.input


def test_what_the_user_set_in_vain_is_listed_but_not_what_defaults_set(tmp_path: Path) -> None:
    model = make(tmp_path, 'backend: "python" model_operations { op_library_filename: "a.so" }', "1/model.py")
    assert read(model).unacted == ("model_operations",)


def test_a_name_other_than_the_directorys_is_refused_in_tritons_words(tmp_path: Path) -> None:
    error = fault(make(tmp_path, 'name: "b" backend: "python"', "1/model.py"))
    assert error.code is Code.INVALID_ARG
    words = "unexpected directory name 'm' for model 'b', directory name must equal model name"
    assert error.message == f"{words} ({tmp_path}/m/config.pbtxt:1)"


def test_a_wrong_config_is_refused(tmp_path: Path) -> None:
    assert "'max_batch_size' must be non-negative" in fault(make(tmp_path, "max_batch_size: -1", "1/model.py")).message
    assert "config.pbtxt: line 1, column 1: " in fault(make(tmp_path, "foo: 1", "1/model.py")).message


def test_what_the_server_does_not_do_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    error = fault(make(tmp_path, "model_repository_agents { }", "1/model.py"))
    assert error.code is Code.UNSUPPORTED


def test_without_auto_complete_the_config_must_be_there_and_whole(tmp_path: Path) -> None:
    error = fault(make(tmp_path, None, "1/model.py"), auto_complete=False)
    assert (error.code, "config.pbtxt" in error.message) == (Code.NOT_FOUND, True)
    model = make(tmp_path, 'backend: "python" ' + TENSORS)
    assert read(model, auto_complete=False).config_provided
    model = make(tmp_path, 'backend: "python" ' + TENSORS.replace("dims: 1", "", 1))
    assert "model input 'A' must specify 'dims' for m" in fault(model, auto_complete=False).message


def test_an_override_replaces_the_file_entirely_and_may_omit_the_name(tmp_path: Path) -> None:
    model = make(tmp_path, "this is not even a config", "1/model.py")
    definition = read(model, override='{"max_batch_size": 4, "dynamic_batching": {}}')
    assert definition.config_provided
    assert (definition.config.name, definition.config.backend) == ("m", "python")
    assert definition.config.max_batch_size == 4
    assert "Invalid config override" in fault(model, override='{"foo": 1}').message
    assert "directory name must equal" in fault(model, override='{"name": "x", "backend": "python"}').message


def test_a_model_without_a_version_is_a_definition_without_versions(tmp_path: Path) -> None:
    assert read(make(tmp_path, 'backend: "python"')).selection.versions == ()
