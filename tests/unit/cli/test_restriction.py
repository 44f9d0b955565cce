"""Restricted parts of the interface are read from the command line as Triton reads them, and refused in its words."""

import pytest

from tis.cli.parser import UsageError, parse_flags
from tis.settings import RESTRICTED_CATEGORIES, Restriction, ServerSettings


def parsed(*words: str) -> ServerSettings:
    return parse_flags(["--model-repository=/models", *words])


def test_a_group_names_parts_and_the_header_that_opens_them() -> None:
    settings = parsed("--http-restricted-api=health,metadata:admin-key=a=b:c", "--http-restricted-api=trace:k:x=v")
    assert settings.http_restricted_apis == (
        Restriction(categories=("health", "metadata"), header="admin-key", value="a=b:c"),
        Restriction(categories=("trace",), header="k:x", value="v"),
    )
    assert settings.grpc_restricted_protocols == ()


def test_every_part_that_triton_knows_can_be_restricted() -> None:
    settings = parsed(f"--grpc-restricted-protocol={','.join(RESTRICTED_CATEGORIES)}:k=v")
    assert settings.grpc_restricted_protocols[0].categories == RESTRICTED_CATEGORIES


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["api=foo:k=v"], "unknown restricted api 'foo'"),
        (["api=Health:k=v"], "unknown restricted api 'Health'"),
        (["api=inference,:k=v"], "unknown restricted api ''"),
        (["api=inference"], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got inference"),
        (["api=health:k"], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got health:k"),
        (["api=health:=v"], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got health:=v"),
        (["api=health:k="], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got health:k="),
        (["api=:k=v"], "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got :k=v"),
        (["api=health,health:k=v"], "restricted api 'health' can not be specified in multiple config groups"),
        (
            ["api=health:k=v", "api=trace,health:k2=v"],
            "restricted api 'health' can not be specified in multiple config groups",
        ),
    ],
)
def test_a_wrong_group_is_refused_in_tritons_words(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(*(f"--http-restricted-{word}" for word in words))
    assert raised.value.message == f'Bad option: "--http-restricted-api".\n{text}'


def test_grpc_calls_it_a_protocol() -> None:
    with pytest.raises(UsageError, match="unknown restricted protocol 'foo'"):
        parsed("--grpc-restricted-protocol=foo:k=v")
    with pytest.raises(UsageError, match="restricted protocol 'trace' can not be specified in multiple"):
        parsed("--grpc-restricted-protocol=trace:k=v", "--grpc-restricted-protocol=trace:k=v")
