"""The repository index: what is there, in Triton's order, with the reason where Triton would give one."""

from types import SimpleNamespace
from typing import Any, cast

from tis.contracts import messages as m
from tis.errors import invalid, unsupported
from tis.supervisor.index import reason_shown, repository_index
from tis.supervisor.version import State


def version(name: str, number: int, state: State = State.READY, reason: str = "") -> Any:
    return cast("Any", SimpleNamespace(name=name, version=number, state=state, reason=reason))


def test_versions_are_listed_by_name_and_number() -> None:
    versions = [version("b", 10), version("b", 9, State.LOADING), version("a", 1, State.UNAVAILABLE, "Internal: x")]
    assert repository_index(versions, {}) == (
        m.IndexEntry("a", 1, "UNAVAILABLE", "Internal: x"),
        m.IndexEntry("b", 9, "LOADING"),
        m.IndexEntry("b", 10, "READY"),
    )


def test_a_model_that_could_not_be_read_shows_its_name_and_a_reason_only_where_there_is_one_to_show() -> None:
    unread = {"typo": "", "twice": "model appears in two or more repositories"}
    assert repository_index([], unread) == (
        m.IndexEntry("twice", 0, "UNAVAILABLE", "model appears in two or more repositories"),
        m.IndexEntry("typo"),
    )


def test_clients_are_told_what_triton_would_have_served() -> None:
    assert reason_shown(invalid("a typing error")) == ""
    assert reason_shown(unsupported("no such feature")) == "Unsupported: no such feature"
