"""What plots show, taken from the files that ``tools/bench/run --json`` writes. Draws nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import BenchError
from .models import SIZES

SIDES: Final = ("ours", "theirs")
#: Of a sample.
FIGURES: Final = ("requests_per_s", "p50_ms", "p99_ms")
_SIZE_PREFIX: Final = f"{SIZES.removesuffix('s')}-"
_LOADS: Final = {"http": "HTTP", "grpc": "gRPC", "stream": "gRPC stream", "perf": "perf_analyzer"}
_MODELS: Final = {
    "small": "ONNX here, 16 floats",
    "large": "ONNX here, 600 KB",
    "python-small": "Python, 16 floats",
    "python-large": "Python, 600 KB",
    "bls-chain": "a chain of three by BLS",
    "ocr": "an ensemble that reads words",
    "decoupled-1000": "1000 responses to a request",
}


@dataclass(frozen=True)
class Point:
    """Medians over the rounds, and the least and the most of any round, by the names in `FIGURES`."""

    x: float
    median: Mapping[str, float]
    least: Mapping[str, float]
    most: Mapping[str, float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a line for each side."""

    title: str
    lines: Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Part:
    """What goes into one figure, or two."""

    panels: Sequence[Panel]
    #: Where and how it was measured: a line for each of the files that tell of it.
    where: str

    @property
    def sides(self) -> list[str]:
        """Those that have a line anywhere."""
        found = {side for panel in self.panels for side in panel.lines}
        return [side for side in SIDES if side in found]


@dataclass(frozen=True)
class Data:
    """All that is to be drawn."""

    clients: Part
    sizes: Part

    @property
    def sides(self) -> list[str]:
        """Those that have a line anywhere."""
        return [side for side in SIDES if side in (*self.clients.sides, *self.sizes.sides)]


def read(paths: Iterable[Path]) -> Data:
    """Read result files, of which later ones win where they tell of the same; raises where one is none or holds nothing."""
    documents = [document_of(path) for path in paths]
    entries = {
        (str(entry["case"]), int(entry["clients"])): entry for document in documents for entry in document["results"]
    }
    about = {
        sized: [each for each in documents if any(is_sized(entry) == sized for entry in each["results"])]
        for sized in (False, True)
    }
    data = Data(
        Part(client_panels(entries), described(about[False])), Part(size_panels(entries), described(about[True]))
    )
    if not data.sides:
        raise BenchError("nothing to draw: a line takes two numbers of clients, or two sizes")
    return data


def document_of(path: Path) -> dict[str, Any]:
    """One file's content."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}") from error
    if not isinstance(document, dict) or "results" not in document:
        raise BenchError(f"{path} was not written by tools/bench/run --json")
    return document


Entries = Mapping[tuple[str, int], Mapping[str, Any]]


def client_panels(entries: Entries) -> list[Panel]:
    """A panel for each case that was measured with several numbers of clients, in the order of the files."""
    cases = dict.fromkeys(case for case, _ in entries if size_bytes(case) is None)
    return panels(
        (caption(case), [(float(clients), entry) for (name, clients), entry in entries.items() if name == case])
        for case in cases
    )


def size_panels(entries: Entries) -> list[Panel]:
    """A panel for each protocol and number of clients: by the size of a tensor."""
    groups: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for (case, clients), entry in entries.items():
        size = size_bytes(case)
        if size is not None:
            load = case.partition("-")[0]
            title = f"{_LOADS.get(load, load)}, {plural(clients, 'client')}"
            groups.setdefault(title, []).append((float(size), entry))
    return panels(groups.items())


def panels(groups: Iterable[tuple[str, list[tuple[float, Mapping[str, Any]]]]]) -> list[Panel]:
    """Panels of the groups that make at least one line."""
    made = []
    for title, points in groups:
        points.sort(key=lambda point: point[0])
        lines = {side: line for side in SIDES if len(line := line_of(side, points)) > 1}
        if lines:
            made.append(Panel(title, lines))
    return made


def line_of(side: str, points: Iterable[tuple[float, Mapping[str, Any]]]) -> list[Point]:
    """One side's points; those without a good round are left out."""
    line = []
    for x, entry in points:
        of_side = entry.get(side)
        if not of_side or not of_side["median"]:
            continue
        good = [sample for sample in of_side["samples"] if not sample["error"]]
        least = {name: min(sample[name] for sample in good) for name in FIGURES}
        most = {name: max(sample[name] for sample in good) for name in FIGURES}
        line.append(Point(x, {name: of_side["median"][name] for name in FIGURES}, least, most))
    return line


def size_bytes(case: str) -> int | None:
    """The bytes of a tensor of a case that is about sizes; None for the others."""
    model = case.partition("-")[2]
    return int(model.removeprefix(_SIZE_PREFIX)) if model.startswith(_SIZE_PREFIX) else None


def is_sized(entry: Mapping[str, Any]) -> bool:
    """Whether a result is about sizes."""
    return size_bytes(str(entry["case"])) is not None


def caption(case: str) -> str:
    """A case in words."""
    load, _, model = case.partition("-")
    if load == "perf":
        protocol, _, model = model.partition("-")
        return f"{_LOADS.get(protocol, protocol)} by perf_analyzer, {_MODELS.get(model, model)}"
    return f"{_LOADS.get(load, load)}, {_MODELS.get(model, model)}"


def described(documents: Sequence[Mapping[str, Any]]) -> str:
    """Where and how the figures were measured, each different thing once."""
    lines = [
        f"{document['machine']['cpu']}, load generator included; commit {document['machine']['commit']}, "
        f"{str(document['machine']['time'])[:10]}; "
        f"batches of up to {document['serving']['max_batch_size']}, {plural(document['serving']['instances'], 'instance')}; "
        f"medians of {plural(document['rounds'], 'round')} of {document['seconds']} s"
        for document in documents
    ]
    return "\n".join(dict.fromkeys(lines))


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'s' if count != 1 else ''}"
