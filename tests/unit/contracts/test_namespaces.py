"""Identifiers of models in namespaces, and what is meant by a name."""

import pytest

from tis.contracts.namespaces import Namespaces, chosen, identifier


def test_an_identifier_is_namespace_and_name_and_can_be_taken_apart() -> None:
    namespaces = Namespaces(["/models", "./more/"], enabled=True)
    for namespace, name, text in (
        ("/models", "m", "/models::m"),
        ("./more/", "a::b", "./more/::a::b"),
        ("", "sent", "sent"),
    ):
        assert identifier(namespace, name) == text
        assert namespaces.split(text) == (namespace, name)
        assert namespaces.name(text) == name


def test_a_repository_whose_path_begins_like_another_one_s_identifier_is_told_from_it() -> None:
    assert Namespaces(["/a", "/a::b/c"], enabled=True).split("/a::b/c::m") == ("/a::b/c", "m")


def test_without_namespaces_every_name_is_what_it_is() -> None:
    namespaces = Namespaces(["/models"])
    assert not namespaces
    assert namespaces.split("/models::m") == ("", "/models::m")
    assert namespaces.asked("%2Fmodels::m") == "%2Fmodels::m"


@pytest.mark.parametrize("written", ["/models::m", "%2Fmodels::m", "%2fmodels%3A%3Am", "%252Fmodels::m"])
def test_an_identifier_is_understood_however_an_address_needs_it(written: str) -> None:
    assert Namespaces(["/models"], enabled=True).asked(written) == "/models::m"


def test_a_name_with_a_percent_sign_that_is_no_identifier_stays_as_it_is() -> None:
    assert Namespaces(["/models"], enabled=True).asked("50%25") == "50%25"


def test_a_name_means_the_own_model_or_else_the_only_one() -> None:
    both = ("/x::m", "/y::m")
    assert chosen("m", both, "/y") == "/y::m"
    assert chosen("m", both[:1], "/y") == "/x::m"
    assert chosen("m", both, "/z") == "m"
    assert chosen("m", (), "/z") == "m"
