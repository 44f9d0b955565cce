"""What Python a model asks for, from the parameters of its config."""

import pytest

from tis.environments.wish import Wish, wish_of
from tis.errors import TisError


def test_a_model_that_names_nothing_runs_in_the_servers_own_python() -> None:
    assert wish_of("m", "/models/m", {"other": "x", "EXECUTION_ENV_PATH": ""}) is None


@pytest.mark.parametrize(
    ("parameters", "wish"),
    [
        ({"EXECUTION_ENV_PATH": "/env.tar.gz"}, Wish("m", environment="/env.tar.gz")),
        ({"EXECUTION_ENV_PATH": "$$TRITON_MODEL_DIRECTORY/env"}, Wish("m", environment="/models/m/env")),
        # As in Triton: where the server runs.
        ({"EXECUTION_ENV_PATH": "env"}, Wish("m", environment="env")),
        ({"tis.requirements": "r.txt"}, Wish("m", requirements="/models/m/r.txt")),
        ({"tis.requirements": "/r.txt"}, Wish("m", requirements="/r.txt")),
        (
            {"tis.requirements": "$$TRITON_MODEL_DIRECTORY/r.txt", "tis.python": "/usr/bin/python3.12"},
            Wish("m", requirements="/models/m/r.txt", python="/usr/bin/python3.12"),
        ),
    ],
)
def test_paths_are_those_of_the_parameters(parameters: dict[str, str], wish: Wish) -> None:
    assert wish_of("m", "/models/m", parameters) == wish
    assert Wish.from_json(wish.as_json()) == wish


@pytest.mark.parametrize("other", ["tis.requirements", "tis.python"])
def test_two_answers_to_one_question_are_refused_by_name(other: str) -> None:
    with pytest.raises(TisError, match=f"'EXECUTION_ENV_PATH' and '{other}'"):
        wish_of("m", "/models/m", {"EXECUTION_ENV_PATH": "/env", other: "/x"})
