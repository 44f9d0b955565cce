"""What clients may write into trace settings, and what this frontend shows."""

import pytest

from tis.contracts import messages as m
from tis.errors import TisError
from tis_frontend.trace_settings import TraceSettings, read_level, read_number


@pytest.mark.parametrize(
    ("levels", "read"),
    [
        (["OFF"], ("OFF",)),
        ([], ("OFF",)),
        (["unknown"], ("OFF",)),
        (["TENSORS", "TIMESTAMPS"], ("TIMESTAMPS", "TENSORS")),
    ],
)
def test_levels_are_read_as_triton_reads_them(levels: list[str], read: tuple[str, ...]) -> None:
    assert read_level(levels) == read


@pytest.mark.parametrize("levels", [["OFF", "TIMESTAMPS"], ["OFF", "OFF"], ["unknown", "OFF"]])
def test_off_stands_alone(levels: list[str]) -> None:
    with pytest.raises(TisError, match="Expect only one trace level 'OFF' is specified"):
        read_level(levels)


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("trace_rate", "0", "0"),
        ("trace_rate", "+007", "7"),
        ("trace_rate", "4294967295", "4294967295"),
        ("trace_count", "-1", "-1"),
        ("trace_count", "2147483647", "2147483647"),
        ("log_frequency", "12", "12"),
    ],
)
def test_numbers_within_their_bounds_are_kept_as_text(name: str, text: str, read: str) -> None:
    assert read_number(name, text) == (read,)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("trace_rate", "", "Unable to parse 'trace_rate', got: "),
        ("trace_rate", "5x", "Unable to parse 'trace_rate', got: 5x"),
        ("trace_rate", "-1", "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -1"),
        ("trace_count", "-2", "Unable to parse 'trace_count'. Expecting value >= -1, got: -2"),
        (
            "trace_count",
            "2147483648",
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 2147483648",
        ),
        ("log_frequency", "9" * 101, f"Unable to parse 'log_frequency', got: {'9' * 101}"),
    ],
)
def test_what_is_no_number_within_bounds_is_refused(name: str, text: str, words: str) -> None:
    with pytest.raises(TisError) as raised:
        read_number(name, text)
    assert raised.value.message == words


def test_a_model_without_settings_of_its_own_shows_the_global_ones() -> None:
    settings = TraceSettings()
    assert settings.of("m") == {}
    settings.replace(m.TraceChanged({"": {"trace_rate": ("5",)}, "m": {"trace_rate": ("7",)}}))
    assert settings.of("m") == {"trace_rate": ("7",)}
    assert settings.of("n") == settings.of("") == {"trace_rate": ("5",)}
