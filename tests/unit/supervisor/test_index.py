"""The repository index: what is there, in Triton's order, with the reason where Triton would give one."""

from types import SimpleNamespace
from typing import Any, cast

from tis.contracts import messages as m
from tis.errors import invalid, unsupported
from tis.supervisor.index import reason_shown
from tis.supervisor.served_model import ServedModel
from tis.supervisor.version import State


def version(number: int, state: State = State.READY, reason: str = "", *, listed: bool = True) -> Any:
    return cast("Any", SimpleNamespace(version=number, state=state, reason=reason, listed=listed))


def model(*versions: Any) -> ServedModel:
    made = ServedModel("m")
    made.versions = {each.version: each for each in versions}
    return made


def test_versions_are_listed_by_number_with_state_and_reason() -> None:
    served = model(version(10), version(9, State.UNAVAILABLE, "Internal: x"))
    assert served.index_entries() == [
        m.IndexEntry("m", 9, "UNAVAILABLE", "Internal: x"),
        m.IndexEntry("m", 10, "READY"),
    ]


def test_a_model_that_could_not_be_read_shows_its_name_and_a_reason_only_where_there_is_one_to_show() -> None:
    typo, twice = ServedModel("typo"), ServedModel("twice")
    typo.unread, twice.unread = "", "model appears in two or more repositories"
    assert typo.index_entries() == [m.IndexEntry("typo")]
    assert twice.index_entries() == [
        m.IndexEntry("twice", 0, "UNAVAILABLE", "model appears in two or more repositories")
    ]


def test_a_model_that_was_never_tried_is_not_listed() -> None:
    assert ServedModel("m").index_entries() == []


def test_a_version_that_finishes_what_it_has_is_unloading_and_then_unloaded() -> None:
    served = model()
    served.unloaded = {1: "unloaded", 2: "unloaded"}
    served.leaving = [version(2, State.UNLOADING)]
    assert served.index_entries() == [
        m.IndexEntry("m", 1, "UNAVAILABLE", "unloaded"),
        m.IndexEntry("m", 2, "UNLOADING"),
    ]


def test_while_a_version_serves_what_is_being_loaded_beside_it_is_not_shown() -> None:
    served = model(version(1))
    served.attempt = cast("Any", SimpleNamespace(versions={1: version(1, State.LOADING), 2: version(2, State.LOADING)}))
    assert served.index_entries() == [m.IndexEntry("m", 1, "READY")]
    served.versions = {}
    assert [each.state for each in served.index_entries()] == ["LOADING", "LOADING"]


def test_clients_are_told_what_triton_would_have_served() -> None:
    assert reason_shown(invalid("a typing error")) == ""
    assert reason_shown(unsupported("no such feature")) == "Unsupported: no such feature"
