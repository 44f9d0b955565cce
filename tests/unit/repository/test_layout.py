from pathlib import Path

import pytest

from tis.errors import Code, TisError
from tis.repository.layout import find, model_directory, scan, version_numbers


def make(root: Path, *directories: str) -> None:
    for directory in directories:
        (root / directory).mkdir(parents=True)


def test_every_subdirectory_is_a_model_and_files_and_hidden_directories_are_not(tmp_path: Path) -> None:
    make(tmp_path, "b/1", "a/2", "empty", ".git/1")
    (tmp_path / "README.md").touch()
    found = scan([tmp_path])
    assert list(found.models) == ["a", "b", "empty"]
    assert found.models["a"].versions == (2,)
    assert found.models["empty"].versions == ()
    assert found.models["a"].config_path == tmp_path / "a" / "config.pbtxt"
    assert not found.duplicates


def test_a_model_may_be_a_link_to_a_directory(tmp_path: Path) -> None:
    make(tmp_path, "store/m/1", "repo")
    (tmp_path / "repo" / "m").symlink_to(tmp_path / "store" / "m")
    assert scan([tmp_path / "repo"]).models["m"].versions == (1,)


def test_a_model_in_two_repositories_is_a_duplicate_and_no_model(tmp_path: Path) -> None:
    make(tmp_path, "x/m/1", "x/a/1", "y/m/1")
    found = scan([tmp_path / "x", tmp_path / "y"])
    assert list(found.models) == ["a"]
    assert found.duplicates == {"m": (tmp_path / "x" / "m", tmp_path / "y" / "m")}


def test_the_same_repository_given_twice_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "m/1")
    assert list(scan([tmp_path, tmp_path]).models) == ["m"]
    assert find([tmp_path, tmp_path], "m").name == "m"


def test_a_missing_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TisError, match=r"failed to open directory .*absent: No such file or directory") as caught:
        scan([tmp_path / "absent"])
    assert caught.value.code is Code.INTERNAL


def test_versions_are_plain_numbers_in_ascending_order(tmp_path: Path) -> None:
    make(tmp_path, "m/10", "m/9", "m/0", "m/warmup", "m/initial_state", "m/configs", "m/.cache")
    (tmp_path / "m" / "5").touch()
    assert version_numbers(tmp_path / "m") == ((0, 9, 10), ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("01", "contains leading zeros"),
        ("00", "contains leading zeros"),
        ("v1", "fails to convert to integral number"),
        ("1abc", "fails to convert to integral number"),
        ("-1", "fails to convert to integral number"),
        ("+1", "fails to convert to integral number"),
        ("1.0", "fails to convert to integral number"),
        ("²", "fails to convert to integral number"),
        ("9223372036854775808", "fails to convert to integral number"),
        ("9" * 200, "fails to convert to integral number"),
    ],
)
def test_a_directory_that_only_looks_like_a_version_is_ignored_with_a_warning(
    tmp_path: Path, name: str, reason: str
) -> None:
    make(tmp_path, f"m/{name}", "m/9223372036854775807")
    versions, warnings = version_numbers(tmp_path / "m")
    assert versions == (9223372036854775807,)
    assert len(warnings) == 1
    assert f"'{name}'" in warnings[0]
    assert reason in warnings[0]
    assert model_directory(tmp_path / "m").warnings == warnings


def test_a_custom_config_is_taken_by_the_models_that_have_it(tmp_path: Path) -> None:
    make(tmp_path, "a/configs", "b")
    custom = tmp_path / "a" / "configs" / "fast.pbtxt"
    custom.touch()
    found = scan([tmp_path], config_name="fast").models
    assert found["a"].config_path == custom
    assert found["b"].config_path == tmp_path / "b" / "config.pbtxt"
    assert find([tmp_path], "a", config_name="slow").config_path == tmp_path / "a" / "config.pbtxt"


def test_one_model_is_found_by_name_in_any_repository(tmp_path: Path) -> None:
    make(tmp_path, "x/a/1", "y/b/3")
    found = find([tmp_path / "x", tmp_path / "y"], "b")
    assert (found.path, found.versions) == (tmp_path / "y" / "b", (3,))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".git", "a\0b"])
def test_a_name_that_is_no_plain_directory_name_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a/b", ".git")
    with pytest.raises(TisError, match="invalid model name") as caught:
        find([tmp_path], name)
    assert caught.value.code is Code.INVALID_ARG


def test_an_unknown_or_ambiguous_name_is_refused_with_the_places(tmp_path: Path) -> None:
    make(tmp_path, "x/m", "y/m")
    with pytest.raises(TisError, match=r"'z': model not found in any model repository; searched .*x, .*y") as caught:
        find([tmp_path / "x", tmp_path / "y"], "z")
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(TisError, match=r"'m': not unique across all model repositories; found .*x/m, .*y/m"):
        find([tmp_path / "x", tmp_path / "y"], "m")
