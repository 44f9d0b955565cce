"""What a child is told on its command line is what its parent meant."""

from pathlib import Path

import pytest

from tis.process import ChildArguments, parse_child_arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ChildArguments(Path("/run/tis-1"), 3, 4, 5, 6, 7),
        ChildArguments(Path("/run/with space/tis-1"), 1 << 40, 4, 5, -1),
    ],
)
def test_arguments_survive_the_command_line(arguments: ChildArguments) -> None:
    assert parse_child_arguments(arguments.as_argv()) == arguments


def test_a_child_started_by_hand_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_child_arguments([])
    assert "--runtime-dir" in capsys.readouterr().err
