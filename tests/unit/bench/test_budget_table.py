"""The tables of what a request costs each process."""

from pathlib import Path

import pytest

from tools.bench.accounts import Account
from tools.bench.budget_table import (
    BEGIN,
    END,
    LOAD,
    SERVER,
    Budget,
    Share,
    markdown_tables,
    put_into,
    roles_of,
    text_table,
)
from tools.bench.errors import BenchError
from tools.bench.samples import Sample


def budget(case: str, clients: int, *shares: Share) -> Budget:
    return Budget(case, clients, 100, Sample(1234.5, 0.25, 1.0), shares)


FRONTEND = Share("frontend", 2, Account(5_000_000, 150, 10, 0))
WORKER = Share("worker", 1, Account(2_000_000, 50, 0, 300))
LOADED = Share(LOAD, 1, Account(1_000_000, 100, 0, 0))
HTTP_1 = budget("http-small", 1, WORKER, LOADED, FRONTEND)
HTTP_16 = budget("http-small", 16, FRONTEND, LOADED)


def test_the_servers_share_is_all_but_the_load_generators() -> None:
    assert HTTP_1.share(SERVER) == Share(SERVER, 3, Account(7_000_000, 200, 10, 300))


def test_rows_are_as_a_request_meets_them_then_the_sum_then_the_load() -> None:
    assert roles_of([HTTP_1, HTTP_16]) == ["frontend", "worker", SERVER, LOAD]


def test_markdown_has_a_row_for_each_role_and_a_column_for_each_number_of_clients() -> None:
    assert markdown_tables([HTTP_1, HTTP_16]).splitlines() == [
        "| `http-small`: µs of CPU (wake-ups) a request | 1 client | 16 clients |",
        "|---|---|---|",
        "| 2 frontends | 50.0 (1.50) | 50.0 (1.50) |",
        "| worker | 20.0 (0.50) | - |",
        "| the server | 70.0 (2.00) | 50.0 (1.50) |",
        "| load | 10.0 (1.00) | 10.0 (1.00) |",
        "| requests/s | 1,234 | 1,234 |",
        "| p50, µs | 250 | 250 |",
    ]


def test_markdown_has_a_table_for_each_case() -> None:
    tables = markdown_tables([HTTP_1, budget("grpc-small", 1, FRONTEND)]).split("\n\n")
    assert [table.partition(":")[0] for table in tables] == ["| `http-small`", "| `grpc-small`"]


def test_the_text_table_tells_every_count_by_request() -> None:
    lines = text_table([HTTP_1]).splitlines()
    assert lines[2].split() == ["http-small", "1", "2", "frontends", "50.0", "1.50", "0.10", "0.00"]
    assert lines[3].split() == ["http-small", "1", "worker", "20.0", "0.50", "0.00", "3.00"]
    assert lines[4].split()[-2:] == ["1,234", "0.250"]


def test_json_has_every_figure_by_request() -> None:
    found = {share["role"]: share for share in HTTP_1.as_json()["shares"]}
    assert found["worker"] == {
        "role": "worker",
        "processes": 1,
        "cpu_us": 20.0,
        "wakeups": 0.5,
        "preemptions": 0.0,
        "page_faults": 3.0,
    }
    assert found[SERVER]["cpu_us"] == 70.0


def test_the_tables_take_the_place_of_the_old_ones_in_a_document() -> None:
    document = f"before\n{BEGIN}\n\nold\n{END}\nafter\n"
    once = put_into(document, "new")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert put_into(once, "new") == once


@pytest.mark.parametrize("document", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_document_without_one_place_for_them_is_refused(document: str) -> None:
    with pytest.raises(BenchError, match="no place"):
        put_into(document, "new")


def test_the_docs_have_the_place() -> None:
    put_into((Path(__file__).parents[3] / "docs" / "performance.md").read_text(), "new")
