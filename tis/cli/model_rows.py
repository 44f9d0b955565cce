"""What `tis models` shows of each model version, put together from what a server says. Pure: no network, no printing."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_PENDING: Final = re.compile(r"^nv_inference_pending_request_count\{([^}]*)\}\s+(\S+)", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Key = tuple[str, str]


@dataclass(frozen=True)
class ModelRow:
    """A model version. None stands for what the server did not say."""

    name: str
    version: str
    state: str
    reason: str = ""
    backend: str = ""
    instances: int | None = None
    queue: int | None = None
    requests: int | None = None
    failures: int | None = None
    #: Averages over the successful requests since the server started.
    average_request_ms: float | None = None
    average_queue_ms: float | None = None
    average_compute_ms: float | None = None


def model_rows(
    index: Iterable[Mapping[str, Any]],
    statistics: Iterable[Mapping[str, Any]],
    configs: Mapping[Key, Mapping[str, Any]],
    pending: Mapping[Key, int],
) -> list[ModelRow]:
    """A row for each line of the index, in its order.

    Models of the same name in several namespaces have their statistics in the order of the index; what else is known by name
    only is of none of them.
    """
    index = list(index)
    by_key: dict[Key, list[Mapping[str, Any]]] = {}
    for each in statistics:
        by_key.setdefault((str(each["name"]), str(each["version"])), []).append(each)
    counts = Counter((str(line["name"]), str(line.get("version", ""))) for line in index)
    rows = []
    for line in index:
        key = (str(line["name"]), str(line.get("version", "")))
        config = configs.get(key, {})
        state, reason = str(line.get("state", "")) or "UNLOADED", str(line.get("reason", ""))
        statistic = by_key[key].pop(0) if state == "READY" and by_key.get(key) else {}
        said = statistic.get("inference_stats", {})
        success, fail = said.get("success", {}), said.get("fail", {})
        served = int(success.get("count", 0))
        rows.append(
            ModelRow(
                *key,
                state,
                reason,
                str(config.get("platform") or config.get("backend") or ""),
                instance_count(config) if config else None,
                pending.get(key) if counts[key] == 1 else None,
                served + int(fail.get("count", 0)) if said else None,
                int(fail.get("count", 0)) if said else None,
                _average_ms(said, served, "success"),
                _average_ms(said, served, "queue"),
                _average_ms(said, served, "compute_input", "compute_infer", "compute_output"),
            )
        )
    return rows


def instance_count(config: Mapping[str, Any]) -> int:
    """Instances that a completed config asks for: a group on GPUs has its count on each of them."""
    groups = config.get("instance_group", ())
    return sum(
        int(group["count"]) * (max(1, len(group.get("gpus", ()))) if group.get("kind") == "KIND_GPU" else 1)
        for group in groups
    )


def pending_requests(metrics: str) -> dict[Key, int]:
    """How many requests wait, by model version, from the text of the metrics."""
    found: dict[Key, int] = {}
    for labels, value in _PENDING.findall(metrics):
        said = dict(_LABEL.findall(labels))
        key = (said.get("model", ""), said.get("version", ""))
        found[key] = found.get(key, 0) + int(float(value))
    return found


def table(rows: Sequence[ModelRow]) -> str:
    """The rows as a table for people; what is unknown is a dash."""
    heads = ("MODEL", "VERSION", "STATE", "BACKEND", "INST", "QUEUE", "REQUESTS", "FAILED", "AVG ms", "QUEUE ms")
    cells: list[tuple[str, ...]] = [(*heads, "COMPUTE ms", "REASON")]
    for row in rows:
        numbers = (row.instances, row.queue, row.requests, row.failures)
        times = (row.average_request_ms, row.average_queue_ms, row.average_compute_ms)
        cells.append(
            (
                row.name,
                row.version or "-",
                row.state,
                row.backend or "-",
                *("-" if number is None else str(number) for number in numbers),
                *("-" if time is None else f"{time:.3f}" for time in times),
                row.reason.partition("\n")[0],
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = range(4, len(heads) + 1)
    lines = (
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )
    return "\n".join(lines)


def _average_ms(said: Mapping[str, Any], count: int, *parts: str) -> float | None:
    """The sum of some durations, for each successful request."""
    if not count:
        return None
    return sum(int(said.get(part, {}).get("ns", 0)) for part in parts) / count / 1e6
