"""The model table where repositories are namespaces: what a name means, and in Triton's words why it means nothing."""

import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.contracts.namespaces import Namespaces
from tis.errors import Code, TisError
from tis_frontend.model_table import ModelTable

NAMES = {"both": ("/x::both", "/y::both"), "only": ("/x::only",), "broken": ("/y::broken",)}


def entry(namespace: str, name: str, version: int = 1, *, ready: bool = True) -> m.TableEntry:
    return m.TableEntry(ModelSpec(name, version, "", "python", 0, (), (), namespace=namespace), ready)


@pytest.fixture
def models() -> ModelTable:
    made = ModelTable(Namespaces(["/x", "/y"], enabled=True))
    entries = (entry("/x", "both"), entry("/x", "only"), entry("/x", "only", 2, ready=False), entry("/y", "both"))
    index = (
        m.IndexEntry("/y::gone", 1, "UNAVAILABLE", "unloaded"),
        m.IndexEntry("/y::broken", 1, "UNAVAILABLE", "why"),
    )
    made.replace(m.Table(1, entries, (("/y::broken", "why"), ("/y::gone", "unloaded")), index, names=NAMES))
    return made


def fault(models: ModelTable, name: str, version: int | None = None) -> tuple[Code, str]:
    with pytest.raises(TisError) as caught:
        models.find(name, version)
    return caught.value.code, caught.value.message


def test_a_name_that_one_model_has_means_it(models: ModelTable) -> None:
    for version in (None, 1):
        assert models.find("only", version).spec.identifier == "/x::only"
        assert models.is_ready("only", version)
        assert models.is_live("only", version)
    assert models.ready_versions("only") == [1]
    assert not models.is_ready("only", 2)


def test_a_name_that_two_models_have_means_none_of_them(models: ModelTable) -> None:
    text = (
        "There are 2 identifiers of model 'both' in global map, model namespace must be provided to resolve ambiguity."
    )
    for version in (None, 1, 7):
        assert fault(models, "both", version) == (Code.INVALID_ARG, text)
        assert not models.is_ready("both", version)
        assert not models.is_live("both", version)


def test_an_identifier_means_its_model(models: ModelTable) -> None:
    for written in ("/y::both", "%2Fy::both"):
        for version in (None, 1):
            assert models.find(written, version).spec.namespace == "/y"
            assert models.is_ready(written, version)


def test_what_is_wrong_is_told_with_the_identifier(models: ModelTable) -> None:
    unknown = "Request for unknown model:"
    assert fault(models, "only", 2) == (Code.UNAVAILABLE, f"{unknown} '/x::only' version 2 is not at ready state")
    assert fault(models, "only", 3) == (Code.NOT_FOUND, f"{unknown} '/x::only' version 3 is not found")
    assert fault(models, "broken") == (Code.NOT_FOUND, f"{unknown} '/y::broken' has no available versions")
    assert fault(models, "nobody") == (Code.INVALID_ARG, f"{unknown} 'nobody' is not found")
    assert fault(models, "gone") == (Code.NOT_FOUND, "Identifier of model 'gone' is not found in global map")


def test_a_model_that_a_client_sent_is_in_no_namespace_and_makes_the_name_ambiguous(models: ModelTable) -> None:
    entries = (entry("", "only"), entry("/x", "only"), entry("", "sent"))
    names = {"only": ("/x::only", "only"), "sent": ("sent",)}
    models.replace(m.Table(2, entries, names=names))
    assert models.find("sent", None).spec.identifier == "sent"
    assert fault(models, "only")[0] is Code.INVALID_ARG
    assert models.find("/x::only", 1).spec.namespace == "/x"


def test_a_model_is_named_as_shortly_as_it_can_be(models: ModelTable) -> None:
    assert models.plainest(models.find("only", None).spec) == "only"
    assert models.plainest(models.find("/y::both", None).spec) == "/y::both"


def test_the_index_shows_names(models: ModelTable) -> None:
    assert [models.shown(each).name for each in models.index] == ["gone", "broken"]
