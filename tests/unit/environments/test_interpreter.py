"""How a worker is started in an interpreter of its model's own, and how interpreters are judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tis.environments.interpreter import OWN, Interpreter, foreign
from tis.environments.probe import NEEDED, checked, requirement
from tis.errors import TisError

SAID: dict[str, Any] = {
    "version": [3, 12, 1],
    "implementation": "CPython",
    "abi": "cpython-312-x86_64-linux-gnu",
    "has": {"msgspec": "0.19.0", "pyzmq": "27.0"},
}


def test_the_servers_own_python_has_the_servers_environment() -> None:
    assert OWN.command[0] == sys.executable
    assert OWN.environment({"A": "1"}) == {"A": "1"}


def test_only_what_activation_changes_is_changed() -> None:
    before = {"PATH": "/bin", "KEPT": "1", "GONE": "1", "PYTHONHOME": "/x"}
    made = foreign(Path("/env/bin/python"), {}, before, {"PATH": "/env/bin:/bin", "KEPT": "1", "VIRTUAL_ENV": "/env"})
    expected = {"PATH": "/env/bin:/bin", "KEPT": "1", "VIRTUAL_ENV": "/env"}
    assert made.environment(before) == expected
    assert dict(made.variables) == {"PATH": "/env/bin:/bin", "VIRTUAL_ENV": "/env"}
    assert Interpreter.from_json(made.as_json()) == made


def test_no_package_of_the_servers_environment_is_on_the_path() -> None:
    own = f"{sys.prefix}/lib/site-packages"
    base = {"PYTHONPATH": f"{own}:/shared"}
    assert foreign(Path("/p"), {}, base, base).environment(base) == {"PYTHONPATH": "/shared"}
    base = {"PYTHONPATH": own}
    assert foreign(Path("/p"), {}, base, base).environment(base) == {}


def test_single_packages_are_found_in_single_folders_and_arguments_are_handed_on(tmp_path: Path) -> None:
    (tmp_path / "wanted").mkdir()
    (tmp_path / "wanted" / "__init__.py").touch()
    (tmp_path / "wanted" / "__main__.py").write_text(
        "import sys\nfrom wanted import inner\ntry:\n    import unwanted\nexcept ImportError:\n    print(sys.argv[1:])\n"
    )
    (tmp_path / "wanted" / "inner.py").touch()
    (tmp_path / "unwanted.py").touch()
    made = foreign(Path(sys.executable), {"wanted": tmp_path}, {}, {})
    done = subprocess.run([*made.command, "wanted", "a", "b c"], capture_output=True, text=True, check=True)
    assert done.stdout == "['a', 'b c']\n"


def test_a_program_that_is_not_there_is_an_exit_code_of_the_process() -> None:
    made = foreign(Path("/nowhere/python"), {}, {}, {})
    assert subprocess.run([*made.command, "tis"], capture_output=True, check=False).returncode == 127


def test_an_interpreter_says_what_it_lacks() -> None:
    assert checked(Path("/p"), SAID).missing == ()
    assert checked(Path("/p"), {**SAID, "has": {"msgspec": "0.18.6", "pyzmq": "27"}}).missing == ("msgspec",)
    assert checked(Path("/p"), {**SAID, "has": {}}).missing == ("msgspec", "zmq")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": [3, 9, 18]}, "is Python 3.9.18; models of this server run in Python 3.10 or newer"),
        ({"version": [2, 7, 18]}, "is Python 2.7.18"),
        ({"implementation": "PyPy"}, "is PyPy 3.12.1; models run in CPython only"),
        ({"numpy": "ModuleNotFoundError: No module named 'numpy'"}, "/p -m pip install numpy"),
        ({"numpy": "ImportError: libfoo.so"}, "numpy cannot be imported .*: ImportError: libfoo.so"),
    ],
)
def test_an_interpreter_that_cannot_run_models_is_refused_with_the_reason(change: dict[str, Any], text: str) -> None:
    with pytest.raises(TisError, match=text):
        checked(Path("/p"), {**SAID, **change})


def test_what_is_installed_is_what_the_server_itself_requires() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    for name in NEEDED:
        assert json.dumps(requirement(name)) in project
