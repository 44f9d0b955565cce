"""The model table answers which version is meant, and in Triton's words why there is none."""

import pytest

from tis.config.source import parse_text
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.versions import parse_version
from tis.errors import Code, TisError
from tis_frontend.model_table import ModelTable


def spec(name: str, version: int, config: bytes = b"") -> ModelSpec:
    return ModelSpec(name, version, "", "onnxruntime", 0, (), (), config=config)


def table(*entries: tuple[str, int, bool], epoch: int = 1, unavailable: tuple[str, ...] = ()) -> m.Table:
    listed = tuple(m.TableEntry(spec(name, version), ready) for name, version, ready in entries)
    return m.Table(epoch, listed, tuple((name, "reason") for name in unavailable))


@pytest.fixture
def models() -> ModelTable:
    made = ModelTable()
    made.replace(table(("m", 1, True), ("m", 3, True), ("m", 10, False), ("n", 2, False), unavailable=("broken",)))
    return made


def fault(models: ModelTable, name: str, version: int | None) -> tuple[Code, str]:
    with pytest.raises(TisError) as caught:
        models.find(name, version)
    return caught.value.code, caught.value.message


def test_without_a_version_the_highest_that_is_ready_is_meant(models: ModelTable) -> None:
    assert models.find("m", None).spec.version == 3


def test_a_model_that_had_to_go_before_it_comes_again_is_not_ready_rather_than_not_there() -> None:
    models = ModelTable()
    index = (m.IndexEntry("m", 2, "LOADING"),)
    models.replace(m.Table(1, (), (("m", ""),), index, (("m", 2),)))
    text = "Request for unknown model: 'm' version 2 is not at ready state"
    assert fault(models, "m", None) == (Code.UNAVAILABLE, text)
    assert fault(models, "m", 2) == (Code.UNAVAILABLE, text)
    models.replace(m.Table(2, (m.TableEntry(spec("m", 2), True),)))
    assert models.find("m", None).spec.version == 2


def test_versions_are_compared_as_numbers() -> None:
    models = ModelTable()
    models.replace(table(("m", 9, True), ("m", 10, True)))
    assert models.find("m", None).spec.version == 10


def test_a_version_can_be_asked_for(models: ModelTable) -> None:
    assert models.find("m", 1).spec.version == 1


@pytest.mark.parametrize(
    ("name", "version", "code", "text"),
    [
        ("zzz", None, Code.NOT_FOUND, "Request for unknown model: 'zzz' is not found"),
        ("zzz", 1, Code.NOT_FOUND, "Request for unknown model: 'zzz' is not found"),
        ("m", 7, Code.NOT_FOUND, "Request for unknown model: 'm' version 7 is not found"),
        ("n", None, Code.NOT_FOUND, "Request for unknown model: 'n' has no available versions"),
        ("broken", None, Code.NOT_FOUND, "Request for unknown model: 'broken' has no available versions"),
        ("m", 10, Code.UNAVAILABLE, "Request for unknown model: 'm' version 10 is not at ready state"),
    ],
)
def test_a_version_that_cannot_be_had_is_told_why(
    models: ModelTable, name: str, version: int | None, code: Code, text: str
) -> None:
    assert fault(models, name, version) == (code, text)


def test_readiness_is_of_a_version_or_of_any(models: ModelTable) -> None:
    assert models.is_ready("m", None)
    assert models.is_ready("m", 3)
    assert not models.is_ready("m", 10)
    assert not models.is_ready("m", 7)
    assert not models.is_ready("n", None)
    assert not models.is_ready("zzz", None)
    assert not models.is_ready("zzz", 1)


def test_names_and_ready_versions_are_listed_in_order(models: ModelTable) -> None:
    assert models.names() == ["broken", "m", "n"]
    assert models.ready_versions("m") == [1, 3]
    assert models.ready_versions("n") == models.ready_versions("zzz") == []


def test_a_newer_table_replaces_the_one_before_as_a_whole(models: ModelTable) -> None:
    models.replace(table(("n", 2, True), epoch=2))
    assert models.names() == ["n"]
    assert models.find("n", None).spec.version == 2
    assert fault(models, "m", None)[1] == "Request for unknown model: 'm' is not found"


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_older_table_that_comes_late_changes_nothing(models: ModelTable, epoch: int) -> None:
    models.replace(table(epoch=epoch))
    assert models.find("m", None).spec.version == 3


def test_the_config_is_that_of_the_specification() -> None:
    config = parse_text('name: "m" backend: "onnxruntime"', "p")
    models = ModelTable()
    models.replace(m.Table(1, (m.TableEntry(spec("m", 1, config.SerializeToString()), True),)))
    assert models.find("m", 1).config == config


# ---- versions as clients write them --------------------------------------------------------------------------------


def test_no_version_means_the_newest() -> None:
    assert parse_version("") is None


@pytest.mark.parametrize(
    ("text", "version"), [("1", 1), ("12", 12), ("007", 7), ("0", 0), (" 1", 1), ("1.5", 1), ("1x", 1), ("0x1", 0)]
)
def test_a_number_is_a_version_whatever_follows_it(text: str, version: int) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["x", "v1", "-", " ", "9" * 30])
def test_what_is_no_number_is_told_as_triton_tells_it(text: str) -> None:
    with pytest.raises(TisError) as caught:
        parse_version(text)
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
        "integral value > 0"
    )


def test_a_negative_number_is_told_as_triton_tells_it() -> None:
    with pytest.raises(TisError) as caught:
        parse_version("-1")
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == "invalid model version specified '-1' , version should be an integral value > 0"


@pytest.mark.parametrize("text", ["9" * 5000, str(1 << 63)])
def test_numbers_that_no_version_has_are_errors(text: str) -> None:
    with pytest.raises(TisError):
        parse_version(text)


def test_a_version_that_never_came_up_is_known_all_the_same() -> None:
    models = ModelTable()
    index = (m.IndexEntry("m", 1, "READY"), m.IndexEntry("m", 2, "UNAVAILABLE", "Internal: x"), m.IndexEntry("typo"))
    models.replace(m.Table(1, (m.TableEntry(spec("m", 1), True),), (), index))
    assert models.index == index
    unready = "Request for unknown model: 'm' version 2 is not at ready state"
    assert fault(models, "m", 2) == (Code.UNAVAILABLE, unready)
    assert fault(models, "m", 3) == (Code.NOT_FOUND, "Request for unknown model: 'm' version 3 is not found")
    assert fault(models, "typo", None) == (Code.NOT_FOUND, "Request for unknown model: 'typo' is not found")


def test_a_version_beyond_64_bits_is_no_version(models: ModelTable) -> None:
    code, text = fault(models, "m", 10**20)
    assert code is Code.INVALID_ARG
    assert text.startswith(f"failed to get model version from specified version string '{10**20}'")
