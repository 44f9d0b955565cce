"""What plots show: lines by clients and by size, from the files of results."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools.bench.errors import BenchError
from tools.bench.plot_data import FIGURES, caption, read, size_bytes
from tools.bench.plots import draw, size_text


def sample(rate: float, error: str = "") -> dict[str, Any]:
    return {"requests_per_s": rate, "p50_ms": 0.5 * rate, "p99_ms": 2 * rate, "error": error}


def entry(case: str, clients: int, **rates: list[float]) -> dict[str, Any]:
    """A result of rounds with these rates, the middle one of which is the median; no rates at all for a side that failed."""
    sides = {
        side: {
            "median": sample(sorted(each)[len(each) // 2]) if each else None,
            "samples": [sample(rate) for rate in each] or [sample(0.0, "failed")],
        }
        for side, each in rates.items()
    }
    return {"case": case, "clients": clients, **sides, "ratios": None}


def write(path: Path, *entries: dict[str, Any], commit: str = "abc") -> Path:
    document = {
        "machine": {"cpu": "2 of X", "commit": commit, "time": "2026-11-20T10:00:00+00:00"},
        "serving": {"max_batch_size": 16, "instances": 1},
        "rounds": 3,
        "seconds": 5,
        "results": entries,
    }
    path.write_text(json.dumps(document))
    return path


def test_a_case_is_a_panel_with_a_line_for_each_side_by_clients(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        entry("http-python-small", 16, ours=[10, 30, 20], theirs=[7]),
        entry("http-python-small", 1, ours=[1, 2, 3], theirs=[4]),
    )
    (panel,) = read([path]).clients.panels
    assert panel.title == "HTTP, Python, 16 floats"
    assert {side: [point.x for point in line] for side, line in panel.lines.items()} == {
        "ours": [1, 16],
        "theirs": [1, 16],
    }
    point = panel.lines["ours"][1]
    assert [each["requests_per_s"] for each in (point.least, point.median, point.most)] == [10, 20, 30]
    assert set(point.median) >= set(FIGURES)


def test_sizes_are_panels_by_protocol_and_clients(tmp_path: Path) -> None:
    sizes = [entry(f"grpc-size-{size}", clients, ours=[1]) for size in (4096, 64) for clients in (1, 8)]
    data = read([write(tmp_path / "a.json", *sizes)])
    assert [panel.title for panel in data.sizes.panels] == ["gRPC, 1 client", "gRPC, 8 clients"]
    assert [point.x for point in data.sizes.panels[0].lines["ours"]] == [64, 4096]
    assert data.clients.panels == []
    assert data.sides == ["ours"]


def test_a_side_without_a_good_round_has_no_point_there(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        entry("http-small", 1, ours=[1], theirs=[1]),
        entry("http-small", 16, ours=[2], theirs=[]),
    )
    (panel,) = read([path]).clients.panels
    assert list(panel.lines) == ["ours"]


def test_later_files_win_and_each_figure_tells_only_of_its_own(tmp_path: Path) -> None:
    old = write(tmp_path / "a.json", entry("http-small", 1, ours=[1]), entry("http-small", 16, ours=[2]), commit="old")
    new = write(tmp_path / "b.json", entry("http-small", 16, ours=[5]), commit="new")
    sizes = [entry(f"http-size-{size}", 1, ours=[1]) for size in (64, 4096)]
    other = write(tmp_path / "c.json", *sizes, commit="other")
    data = read([old, new, other])
    assert data.clients.panels[0].lines["ours"][1].median["requests_per_s"] == 5
    assert [commit in data.clients.where for commit in ("old", "new", "other")] == [True, True, False]
    assert data.sizes.where.split("; ") == [
        "2 of X, load generator included",
        "commit other, 2026-11-20",
        "batches of up to 16, 1 instance",
        "medians of 3 rounds of 5 s",
    ]


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(BenchError, match=r"a\.json"):
        read([tmp_path / "a.json"])


def test_single_points_make_no_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nothing to draw"):
        read([write(tmp_path / "a.json", entry("stream-decoupled-1000", 1, ours=[1]))])


def test_only_cases_about_sizes_have_one() -> None:
    assert [size_bytes(case) for case in ("http-size-64", "grpc-size-6400000", "http-python-small")] == [
        64,
        6_400_000,
        None,
    ]


def test_cases_have_words() -> None:
    assert caption("perf-grpc-large") == "gRPC by perf_analyzer, ONNX here, 600 KB"
    assert caption("http-something-new") == "HTTP, something-new"


def test_sizes_are_written_as_people_do() -> None:
    assert [size_text(size) for size in (64, 4096, 65_536, 1_048_576, 6_400_000)] == [
        "64 B",
        "4 KB",
        "64 KB",
        "1 MB",
        "6.4 MB",
    ]


def test_files_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    sizes = [entry(f"http-size-{size}", 1, ours=[1, 2], theirs=[3]) for size in (64, 4096)]
    clients = [entry("http-small", count, ours=[1], theirs=[2]) for count in (1, 16)]
    paths = draw(read([write(tmp_path / "a.json", *sizes, *clients)]), tmp_path / "out")
    assert [path.name for path in paths] == ["clients_throughput.png", "clients_latency.png", "sizes.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
