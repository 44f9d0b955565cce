"""Which cases run: those named, those of a group, or all but groups."""

import pytest

from tools.bench.cases import GROUPS, NAMES, select
from tools.bench.errors import BenchError
from tools.bench.models import SIZED


def test_groups_run_only_when_they_are_asked_for() -> None:
    assert {case.name for case in select([], None, with_perf=True)} == set(NAMES)
    assert not any(name in NAMES for name in GROUPS["sizes"])


def test_a_group_is_all_of_its_cases() -> None:
    found = select(["sizes"], None, with_perf=False)
    assert {case.name for case in found} == set(GROUPS["sizes"])
    assert {(case.load, case.clients) for case in found} == {
        (load, count) for load in ("http", "grpc") for count in (1, 8)
    }


def test_a_case_of_a_group_may_be_named_alone_and_beside_others() -> None:
    found = select(["http-size-64", "http-small"], [4], with_perf=False)
    assert sorted((case.name, case.clients) for case in found) == [("http-size-64", 4), ("http-small", 4)]


def test_a_case_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BenchError, match=r"no such case: http-size-65; there are: .*sizes"):
        select(["http-size-65"], None, with_perf=False)


def test_sized_models_have_as_many_bytes_as_their_names_say() -> None:
    assert [(model.name, model.elements * 4) for model in SIZED] == [
        (f"size_{size}", size) for size in (64, 4096, 65_536, 1_048_576, 6_400_000)
    ]
