import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.source import parse_text
from tis.errors import Code, TisError
from tis.repository.versions import VersionSelection, missing_version_texts, require_versions, select_versions


def select(policy: str, *present: int) -> VersionSelection:
    return select_versions(parse_text(f"version_policy {{ {policy} }}", "p"), present)


def test_latest_takes_the_largest_numbers() -> None:
    assert select("latest { num_versions: 2 }", 9, 10, 1).versions == (9, 10)
    assert select("latest { num_versions: 5 }", 9, 10).versions == (9, 10)
    assert select("latest { num_versions: 0 }", 9, 10).versions == ()


def test_all_takes_everything() -> None:
    assert select("all { }", 3, 1, 2).versions == (1, 2, 3)
    assert select("", 3, 1, 2).versions == (1, 2, 3)


def test_without_a_policy_the_largest_is_taken() -> None:
    assert select_versions(parse_text("", "p"), [3, 11]).versions == (11,)


def test_specific_takes_what_is_there_and_reports_the_rest() -> None:
    selection = select("specific { versions: [3, 1, 9, 3] }", 1, 2, 3)
    assert selection == VersionSelection((1, 3), missing=(9,))
    assert missing_version_texts("m", selection) == (
        "version 9 is specified for model 'm', but the version directory is not present",
    )


def test_no_version_left_fails_in_tritons_words() -> None:
    with pytest.raises(TisError) as caught:
        require_versions("m", select("specific { versions: 9 }", 1))
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == "at least one version must be available under the version policy of model 'm'"
    assert require_versions("m", select("all { }", 1)) == (1,)


@given(st.sets(st.integers(0, 50)), st.integers(0, 60))
def test_no_policy_ever_serves_a_version_that_is_not_there(present: set[int], number: int) -> None:
    for policy in (f"latest {{ num_versions: {number} }}", "all { }", f"specific {{ versions: [{number}] }}"):
        versions = select(policy, *present).versions
        assert set(versions) <= present
        assert list(versions) == sorted(versions)
