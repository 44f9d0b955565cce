"""The repository index: what the directories hold at the moment, with what the supervisor says of it."""

from pathlib import Path

import pytest

from tests.unit.frontend.conftest import NewRepositoryBench
from tests.unit.frontend.connection import SPEC
from tests.unit.frontend.repository_bench import RepositoryBench as Bench
from tis.contracts import messages as m


@pytest.fixture
def bench(repository_bench: NewRepositoryBench) -> Bench:
    return repository_bench()


def table(*index: m.IndexEntry, unavailable: tuple[tuple[str, str], ...] = ()) -> m.Table:
    return m.Table(1, (m.TableEntry(SPEC, True),), unavailable, index)


def test_the_index_lists_what_the_repositories_hold_at_the_moment(bench: Bench) -> None:
    for name in ("a", "m", "z", ".hidden"):
        (bench.repository / name).mkdir()
    (bench.repository / "file").write_text("no model")
    bench.table.replace(table(m.IndexEntry("m", 1, "READY"), m.IndexEntry("m", 2, "UNAVAILABLE", "unloaded")))
    served = [
        {"name": "m", "version": "1", "state": "READY"},
        {"name": "m", "version": "2", "state": "UNAVAILABLE", "reason": "unloaded"},
    ]
    assert bench.index() == [{"name": "a"}, *served, {"name": "z"}]
    (bench.repository / "z").rmdir()
    (bench.repository / "b").mkdir()
    assert bench.index() == [{"name": "a"}, {"name": "b"}, *served]
    assert bench.index(b'{"ready":true}') == served[:1]


def test_the_index_forgets_what_is_neither_served_nor_there(bench: Bench) -> None:
    bench.table.replace(
        table(
            m.IndexEntry("gone", 1, "UNAVAILABLE", "unloaded"),
            m.IndexEntry("leaving", 1, "UNLOADING"),
            m.IndexEntry("m", 1, "READY"),
            m.IndexEntry("unread"),
        )
    )
    assert [row["name"] for row in bench.index()] == ["leaving", "m"]


def test_a_model_whose_load_found_no_version_is_not_in_the_index(bench: Bench) -> None:
    (bench.repository / "versionless").mkdir()
    bench.table.replace(table(unavailable=(("versionless", "no version"),)))
    assert bench.index() == []


def test_a_model_in_two_repositories_is_listed_as_such(tmp_path: Path, repository_bench: NewRepositoryBench) -> None:
    second = tmp_path / "second"
    (second / "x").mkdir(parents=True)
    bench = repository_bench(model_repositories=(str(tmp_path / "models"), str(second), str(second)))
    assert bench.index() == [{"name": "x"}]
    (bench.repository / "x").mkdir()
    reason = "model appears in two or more repositories"
    assert bench.index() == [{"name": "x", "state": "UNAVAILABLE", "reason": reason}]


def test_a_repository_that_cannot_be_listed_is_told(bench: Bench) -> None:
    bench.repository.rmdir()
    status, text = bench.error("index")
    assert status == 500
    assert text == f"failed to open directory {bench.repository}: No such file or directory"
