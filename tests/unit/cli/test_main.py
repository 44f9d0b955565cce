"""The commands print what an operator needs and give the right exit code."""

import sys
from types import ModuleType

import pytest

import tis
from tis.cli.main import main, tritonserver
from tis.settings import ServerSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerSettings]:
    """What the supervisor was told to serve; it exits with 7."""
    calls: list[ServerSettings] = []

    def run(settings: ServerSettings) -> int:
        calls.append(settings)
        return 7

    module = ModuleType("tis.supervisor.serve")
    module.run = run  # type: ignore[attr-defined] # a module made by hand
    monkeypatch.setitem(sys.modules, "tis.supervisor.serve", module)
    return calls


def test_serve_runs_the_supervisor_and_exits_with_its_code(served: list[ServerSettings]) -> None:
    assert main(["serve", "--model-repository=/models"]) == 7
    assert tritonserver(["--model-repository", "/models"]) == 7
    assert served == [ServerSettings(model_repositories=("/models",))] * 2


def test_a_wrong_flag_prints_the_usage_and_then_the_reason(
    served: list[ServerSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tritonserver(["--http-port=abc"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("Usage: tritonserver [options]\n  --help\n\t")
    assert err.endswith('\n\nBad option: "--http-port".\nInvalid option value. Got abc\n')
    assert not served


def test_a_wrong_flag_is_told_with_the_name_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--foo"]) == 1
    assert capsys.readouterr().err.endswith("\ntis serve: unrecognized option '--foo'\n")


def test_a_missing_repository_prints_the_reason_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 1
    assert capsys.readouterr() == (
        "",
        "error: creating server: Invalid argument - --model-repository must be specified\n",
    )


def test_warnings_go_to_standard_error(served: list[ServerSettings], capsys: pytest.CaptureFixture[str]) -> None:
    assert tritonserver(["--model-repository=/models", "--strict-model-config=true"]) == 7
    assert "'--strict-model-config' has been deprecated!" in capsys.readouterr().err
    assert not served[0].auto_complete_config


def test_help_succeeds_for_tis_and_fails_as_triton_for_tritonserver(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: tis serve [FILE.py ...] [options]")
    assert not err
    assert tritonserver(["--help"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("Usage: tritonserver [options]")


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_names_both_servers(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"tis {tis.__version__} (behaves as Triton {tis.TRITON_VERSION})\n"


@pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), ([], 1)])
def test_the_overview_lists_the_commands(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert "\n  serve      " in out + err
    assert "\n  version    " in out + err
    assert bool(out) == (code == 0)


@pytest.mark.parametrize("argv", [["bogus"], ["version", "x"]])
def test_a_wrong_command_fails_with_a_reason(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 1
    assert capsys.readouterr().err.startswith("tis")
