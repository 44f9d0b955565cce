"""All that is wrong with a repository is found at once, each with its field and line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tis.config.proto import Message
from tis.config.resolve import Surroundings
from tis.contracts.model_spec import ModelSignature, ModelSpec, TensorSignature
from tis.errors import TisError, internal
from tis.repository.backend_library import BackendLibrary, find_backend
from tis.repository.definition import read_definition
from tis.repository.inspection import Finding, Inspection, Loaded, inspect
from tis.repository.layout import model_directory

CONFIG = """\
backend: "python"
max_batchsize: 4
input { name: "A" data_type: TYPE_FP32 dims: [ 1, 0 ] }
input { name: "B" dims: 1 }
output { name: "C" data_type: TYPE_FP32 dims: 1 label_filename: "no.txt" }
dynamic_batching {
  preferred_batch_size: [ 2,
    9 ]
}
instance_group { gpus: 0 kind: KIND_CPU }
model_repository_agents { }
cc_model_filenames { key: "8.0" value: "a" }
"""
WHOLE = 'input { name: "A" data_type: TYPE_FP32 dims: 1 }\noutput { name: "B" data_type: TYPE_FP32 dims: 1 }\n'


@dataclass(frozen=True)
class Bench:
    """A machine without GPUs that has two backends, and says of every model what it is told to."""

    load: Callable[[ModelSpec, bool], Loaded] | None = None

    def surroundings(self, _config: Message) -> Surroundings:
        return Surroundings()

    def library(self, config: Message) -> BackendLibrary:
        return find_backend(config, Path("/nowhere"))


def write(root: Path, name: str, config: str, file: str = "config.pbtxt", model: str = "1/model.py") -> None:
    (root / name / model).parent.mkdir(parents=True, exist_ok=True)
    (root / name / model).touch()
    (root / name / file).write_text(config)


def errors(inspection: Inspection) -> list[Finding]:
    return [finding for finding in inspection.findings if finding.severity == "error"]


def test_every_fault_of_a_config_is_found_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "m", CONFIG)
    inspection = inspect([tmp_path], Bench())
    found = {(each.field, each.line) for each in errors(inspection)}
    assert found == {
        ("max_batchsize", 2),
        ("input[0].dims[1]", 3),
        ("input[1].data_type", 4),
        ("output[0].label_filename", 5),
        ("dynamic_batching.preferred_batch_size[1]", 8),
        ("instance_group[0].gpus", 10),
        ("model_repository_agents", 11),
    }
    by_field = {each.field: each for each in inspection.findings}
    size = by_field["dynamic_batching.preferred_batch_size[1]"]
    assert (size.given, size.expected) == ("9", "1 to max_batch_size, which is 4")
    assert (size.model, size.file) == ("m", str(tmp_path / "m" / "config.pbtxt"))
    warning = by_field["cc_model_filenames"]
    assert (warning.severity, warning.line) == ("warning", 12)


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("config.pbtxt", 'backend: "python"\nmax_batch_size: -2\n' + WHOLE, 2),
        ("config.json", '{\n"backend": "python",\n\n"max_batch_size": -2}', 4),
        ("config.yaml", "backend: python\n# many\nmax_batch_size: -2", 3),
        ("config.yml", "max_batch_size: -2", 1),
    ],
)
def test_a_load_stops_at_the_first_fault_and_says_where_it_is(file: str, text: str, line: int, tmp_path: Path) -> None:
    write(tmp_path, "m", text, file)
    with pytest.raises(TisError) as caught:
        read_definition(model_directory(tmp_path / "m"))
    path = tmp_path / "m" / file
    assert caught.value.message == f"'max_batch_size' must be non-negative value for m; got -2 ({path}:{line})"


def test_two_configs_in_one_directory_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "m", "", "config.pbtxt")
    write(tmp_path, "m", "{}", "config.json")
    (fault,) = errors(inspect([tmp_path], Bench()))
    assert "more than one config, config.pbtxt and config.json" in fault.message
    with pytest.raises(TisError, match=r"config\.pbtxt and config\.json"):
        read_definition(model_directory(tmp_path / "m"))


def test_a_named_config_may_have_any_form(tmp_path: Path) -> None:
    write(tmp_path, "m", "max_batch_size: 1")
    (tmp_path / "m" / "configs").mkdir()
    (tmp_path / "m" / "configs" / "fast.yaml").write_text("max_batch_size: 7")
    named, other = model_directory(tmp_path / "m", "fast"), model_directory(tmp_path / "m", "slow")
    assert read_definition(named).config.max_batch_size == 7
    assert read_definition(other).config.max_batch_size == 1
    (tmp_path / "m" / "configs" / "fast.json").write_text("{}")
    with pytest.raises(TisError, match=r"configs/fast\.json and configs/fast\.yaml"):
        read_definition(model_directory(tmp_path / "m", "fast"))


def test_models_that_are_fine_have_no_findings_and_unread_ones_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "whole", 'backend: "python"\n' + WHOLE)
    write(tmp_path, "part", 'backend: "python"')
    inspection = inspect([tmp_path], Bench())
    assert (inspection.models, inspection.findings, inspection.incomplete) == (["part", "whole"], [], ["part"])


def test_what_is_missing_in_the_directory_is_found(tmp_path: Path) -> None:
    write(tmp_path, "file", 'backend: "onnxruntime"\n' + WHOLE)
    write(tmp_path, "version", 'backend: "python" version_policy { specific { versions: [ 3 ] } }\n' + WHOLE)
    write(tmp_path, "backend", 'backend: "fortran"\n' + WHOLE)
    write(tmp_path / "other", "file", 'backend: "python"')
    found = {each.model: each.message for each in errors(inspect([tmp_path, tmp_path / "other"], Bench()))}
    assert "model appears in two or more repositories" in found["file"]
    assert found["version"] == "at least one version must be available under the version policy of model 'version'"
    assert "unable to find backend library for backend 'fortran'" in found["backend"]
    (fault,) = [each for each in errors(inspect([tmp_path], Bench())) if each.model == "file"]
    assert fault.message == f"unable to find '{tmp_path}/file/1/model.onnx' for model 'file'"


def test_a_repository_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    assert "failed to open directory" in errors(inspect([tmp_path / "none"], Bench()))[0].message
    assert inspect([tmp_path], Bench()).findings[0].severity == "warning"


ENSEMBLE = """
platform: "ensemble"
input { name: "A" data_type: TYPE_FP32 dims: 1 }
output { name: "B" data_type: TYPE_FP32 dims: 1 }
ensemble_scheduling {
  step { model_name: "first" model_version: -1 input_map { key: "A" value: "A" } output_map { key: "B" value: "M" } }
  step { model_name: "%s" model_version: -1
         input_map { key: "A" value: "M" } output_map { key: "B" value: "B" } }
}
"""


@pytest.mark.parametrize(
    ("step", "line", "words"),
    [
        ("first", 0, ""),
        ("nobody", 7, "contains models that are not available or ambiguous: nobody"),
        ("other", 8, "inconsistent data type: TYPE_FP32 is inferred from model first while TYPE_INT8"),
    ],
)
def test_the_steps_of_an_ensemble_must_be_there_and_fit(step: str, line: int, words: str, tmp_path: Path) -> None:
    write(tmp_path, "first", 'backend: "python"\n' + WHOLE)
    write(tmp_path, "other", 'backend: "python"\n' + WHOLE.replace("FP32 dims: 1 }\noutput", "INT8 dims: 1 }\noutput"))
    write(tmp_path, "both", ENSEMBLE % step)
    found = errors(inspect([tmp_path], Bench()))
    assert [each.model for each in found] == (["both"] if line else [])
    assert not line or (found[0].line, words in found[0].message) == (line, True), found


def test_a_model_file_completes_the_config_and_is_compared_with_it(tmp_path: Path) -> None:
    signature = ModelSignature((TensorSignature("A", "FP32", (2,)),), (TensorSignature("B", "INT32", (1,)),))
    write(tmp_path, "m", 'backend: "onnxruntime"\n' + WHOLE)
    write(tmp_path, "n", 'backend: "onnxruntime"\nmax_batch_size: 3')
    found = errors(inspect([tmp_path], Bench(lambda _spec, _complete: Loaded(signature, None))))
    assert [(each.model, each.version, each.line) for each in found[:-1]] == [("m", 1, 2), ("m", 1, 3)]
    assert "the model expects 1 dimensions (shape [2])" in found[0].message
    assert "configuration expects datatype TYPE_FP32 for output 'B', model provides TYPE_INT32" in found[1].message
    assert "model does not support batching while non-zero max_batch_size is specified" in found[2].message


def test_a_model_file_that_cannot_be_loaded_is_a_finding(tmp_path: Path) -> None:
    def load(_spec: ModelSpec, _complete: bool) -> Loaded:
        raise internal("boom")

    write(tmp_path, "m", 'backend: "python"')
    assert [each.message for each in errors(inspect([tmp_path], Bench(load)))] == ["boom"]
