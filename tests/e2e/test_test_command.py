"""`tis test`: what an author sees of a model without a server."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.test_operator_commands import tis
from tests.harness.models import add_sub
from tests.harness.native_models import write_repeat
from tests.harness.python_models import CODE_BATCHED, PythonModel
from tests.harness.repository import one_cpu
from tests.harness.sequence_models import START, SUM_STATE, accumulator, write


def report(*arguments: object) -> dict[str, Any]:
    done = tis("test", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_models_inputs_outputs_and_times_are_shown(tmp_path: Path) -> None:
    add_sub(("b", 4)).write(tmp_path, "simple", max_batch_size=8, extra=one_cpu())
    np.save(tmp_path / "ones.npy", np.ones((1, 4), np.int32))
    done = tis("test", tmp_path / "simple", "--input=INPUT0=1,2,3,4", f"--input=INPUT1=@{tmp_path / 'ones.npy'}")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:-1] == [
        "simple, version 1, backend onnxruntime",
        "  in   INPUT0  INT32 [1, 4]  1 2 3 4",
        "  in   INPUT1  INT32 [1, 4]  1 1 1 1",
        "  out  OUTPUT0  INT32 [1, 4]  2 3 4 5",
        "  out  OUTPUT1  INT32 [1, 4]  0 1 2 3",
    ]
    assert lines[-1].startswith("  loaded in ")
    assert "median of 10" in lines[-1]


def test_a_batch_and_a_count_are_as_asked_for(tmp_path: Path) -> None:
    CODE_BATCHED.write(tmp_path, "m")
    found = report(tmp_path / "m", "--input=CODE=out = [R(len(requests)) for _ in requests]", "--batch=3", "--count=4")
    assert [each["outputs"][0]["first"] for each in found["responses"]] == [["3"]] * 3
    assert (found["executions"], found["batch"]) == (4, 3)
    assert found["median_ms"] > 0


def test_decoupled_models_show_all_responses_and_sequences_begin_and_end(tmp_path: Path) -> None:
    write_repeat(tmp_path)
    found = report(tmp_path / "repeat", "--input=IN=4,5", "--input=DELAY=0,0", "--data=zero")
    assert [each["outputs"][0]["first"] for each in found["responses"]] == [[4], [5]]
    write(accumulator(), tmp_path, "sums", START + SUM_STATE % "")
    found = report(tmp_path / "sums", "--input=INPUT=3")
    assert found["responses"][0]["outputs"][0]["first"] == [3]


def test_what_a_model_raises_ends_with_its_own_traceback_and_1(tmp_path: Path) -> None:
    folder = PythonModel("def broken():\n    import nowhere\n\n\nbroken()\n").write(tmp_path, "m")
    done = tis("test", folder, "--json")
    assert done.returncode == 1
    assert f'File "{folder}/1/model.py", line 2, in broken' in done.stderr
    assert "tis test: Internal: ModuleNotFoundError: No module named 'nowhere'" in done.stderr
    assert json.loads(done.stdout)["error"].startswith("Internal: ModuleNotFoundError")
    CODE_BATCHED.write(tmp_path, "n")
    done = tis("test", tmp_path / "n", "--input=CODE=1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError: division by zero\n\nAt:\n  <string>(1): <module>" in done.stderr


def test_a_config_that_is_wrong_is_told_with_its_line_and_no_traceback(tmp_path: Path) -> None:
    folder = PythonModel("", "max_batchsize: 1\n").write(tmp_path, "m")
    done = tis("test", folder)
    assert done.returncode == 1
    assert "max_batchsize" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_function_of_a_file_is_tested_by_its_name(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    tensor = "tis.tensor('INT32', [-1])"
    app.write_text(
        f"import tis\n\n\n@tis.model(inputs={{'x': {tensor}}}, outputs={{'y': {tensor}}})\ndef f(x):\n    return x + 1\n"
    )
    found = report(app, "--name=f", "--shape=x:3", "--data=zero")
    assert found["responses"][0]["outputs"][0]["first"] == [1, 1, 1]
    app.write_text("import nowhere\n")
    done = tis("test", app)
    assert done.returncode == 1
    assert f'File "{app}", line 1' in done.stderr


@pytest.mark.parametrize("argument", ["--shape=x", "--shape=x:a", "--input=x", "--input=x=@/nowhere.npy", "--count=0"])
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, argument: str) -> None:
    done = tis("test", tmp_path, argument)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: tis test")
