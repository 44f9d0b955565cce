from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.source import parse_text, read_config
from tis.errors import Code, TisError


@pytest.mark.parametrize(
    ("text", "line", "column", "wrong"),
    [
        ('name: "m"\nmax_batch_size: 3\nfoo: 1\n', 3, 1, "foo"),
        ('name: "m"\ninput [ { nmae: "A" } ]\n', 2, 11, "nmae"),
        ("max_batch_size: many\n", 1, 17, "many"),
        ("max_batch_size: 1\nmax_batch_size: 2\n", 2, 17, "max_batch_size"),
        ("instance_group [ { kind: KIND_TPU } ]", 1, 26, "KIND_TPU"),
        ('name: "m\n', 1, 7, '"m'),
    ],
)
def test_a_parse_failure_tells_file_line_column_and_fault_in_one_message(
    text: str, line: int, column: int, wrong: str
) -> None:
    with pytest.raises(TisError) as caught:
        parse_text(text, "/repo/m/config.pbtxt")
    assert caught.value.code is Code.INTERNAL
    assert caught.value.message.startswith(
        f"failed to read text proto from /repo/m/config.pbtxt: line {line}, column {column}: "
    )
    assert wrong in caught.value.message
    assert "\n" not in caught.value.message


@given(st.text() | st.text(alphabet='{}[]:,"\n abdeimntpu0123-'))
def test_any_text_is_either_parsed_or_refused_with_tritons_words(text: str) -> None:
    refusal = "failed to read text proto from p: "
    try:
        parse_text(text, "p")
    except TisError as error:
        refusal = error.message
    assert refusal.startswith("failed to read text proto from p: ")


def test_deep_nesting_is_refused_not_a_crash() -> None:
    text = 'optimization { cuda { graph_spec { input { key: "A" value { dim: [' + "[" * 10_000
    with pytest.raises(TisError):
        parse_text(text, "p")


def test_a_file_is_read_with_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('# für alle\nname: "m" # the name\n', encoding="utf-8")
    written = read_config(path, missing_ok=False)
    assert (written.config.name, written.provided) == ("m", True)


def test_a_missing_file_is_an_empty_config_only_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    written = read_config(path, missing_ok=True)
    assert (written.config.ByteSize(), written.provided) == (0, False)
    with pytest.raises(TisError, match="failed to open text file for read") as caught:
        read_config(path, missing_ok=False)
    assert caught.value.code is Code.NOT_FOUND


def test_bytes_that_are_no_utf8_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "\xff"')
    with pytest.raises(TisError, match=r"failed to read text proto from .*config\.pbtxt: byte 7 is not UTF-8"):
        read_config(path, missing_ok=True)


def test_a_directory_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TisError, match="failed to open text file for read"):
        read_config(tmp_path, missing_ok=True)
