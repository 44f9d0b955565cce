"""The table of `tis models` is put together from what a server says."""

from tis.cli.model_rows import ModelRow, instance_count, model_rows, pending_requests, table

METRICS = """# HELP nv_inference_pending_request_count Waiting
nv_inference_pending_request_count{model="a",version="1"} 3
nv_inference_pending_request_count{version="2",model="a\\"b"} 0
nv_inference_request_success{model="a",version="1"} 9
"""


def test_a_row_has_counts_averages_and_what_waits() -> None:
    index = [
        {"name": "a", "version": "1", "state": "READY"},
        {"name": "b", "version": "2", "state": "UNAVAILABLE", "reason": "Internal: no\nmore"},
        {"name": "c"},
    ]
    stats = {
        "success": {"count": 4, "ns": 8_000_000},
        "fail": {"count": 1, "ns": 1},
        "queue": {"count": 4, "ns": 2_000_000},
    }
    stats |= {f"compute_{part}": {"count": 4, "ns": 1_000_000} for part in ("input", "infer", "output")}
    config = {"platform": "", "backend": "python", "instance_group": [{"count": 2, "kind": "KIND_CPU", "gpus": []}]}
    rows = model_rows(
        index,
        [{"name": "a", "version": "1", "inference_stats": stats}],
        {("a", "1"): config},
        pending_requests(METRICS),
    )
    assert rows == [
        ModelRow("a", "1", "READY", "", "python", 2, 3, 5, 1, 2.0, 0.5, 0.75),
        ModelRow("b", "2", "UNAVAILABLE", "Internal: no\nmore"),
        ModelRow("c", "", "UNLOADED"),
    ]
    lines = table(rows).splitlines()
    assert lines[0].split() == [
        "MODEL",
        "VERSION",
        "STATE",
        "BACKEND",
        "INST",
        "QUEUE",
        "REQUESTS",
        "FAILED",
        "AVG",
        "ms",
        "QUEUE",
        "ms",
        "COMPUTE",
        "ms",
        "REASON",
    ]
    assert lines[1].split() == ["a", "1", "READY", "python", "2", "3", "5", "1", "2.000", "0.500", "0.750"]
    assert lines[2].endswith("Internal: no")
    assert lines[3].split() == ["c", "-", "UNLOADED", *"--------"]


def test_averages_of_no_requests_are_unknown() -> None:
    said = {"success": {"count": 0, "ns": 0}, "fail": {"count": 0, "ns": 0}}
    (row,) = model_rows(
        [{"name": "a", "version": "1", "state": "READY"}],
        [{"name": "a", "version": "1", "inference_stats": said}],
        {},
        {},
    )
    assert (row.requests, row.failures, row.average_request_ms, row.queue, row.instances) == (0, 0, None, None, None)


def test_models_of_the_same_name_have_their_own_counts_or_none() -> None:
    index = [{"name": "a", "version": "1", "state": state} for state in ("READY", "UNAVAILABLE", "READY")]
    said = [
        {"name": "a", "version": "1", "inference_stats": {"success": {"count": count, "ns": 0}}} for count in (4, 9)
    ]
    rows = model_rows(index, said, {}, {("a", "1"): 3})
    assert [(row.requests, row.queue) for row in rows] == [(4, None), (None, None), (9, None)]


def test_pending_requests_are_read_by_model_and_version() -> None:
    assert pending_requests(METRICS) == {("a", "1"): 3, ('a\\"b', "2"): 0}
    assert pending_requests("nonsense{") == {}


def test_a_group_on_gpus_has_its_instances_on_each() -> None:
    groups = [
        {"count": 2, "kind": "KIND_GPU", "gpus": [0, 1, 3]},
        {"count": 1, "kind": "KIND_CPU"},
        {"count": 3, "kind": "KIND_MODEL", "gpus": []},
    ]
    assert instance_count({"instance_group": groups}) == 10
