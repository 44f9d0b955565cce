"""All the samples of a comparison: kept by case and side, read as medians and ratios."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from .cases import Case
from .samples import Sample, median_of


@dataclass(frozen=True)
class Ratios:
    """Ours divided by theirs: above 1 is good for the throughput, below 1 for the latencies."""

    requests_per_s: float
    p50: float
    p99: float


@dataclass
class Results:
    """Samples in the order in which they were measured."""

    samples: dict[Case, dict[str, list[Sample]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, case: Case, side: str, sample: Sample) -> None:
        """Keep a sample."""
        self.samples[case][side].append(sample)

    def median(self, case: Case, side: str) -> Sample | None:
        """The median of a side's good samples, or None if it has none."""
        return median_of(self.samples[case][side])

    def ratios(self, case: Case) -> Ratios | None:
        """The ratios, if both sides have good samples."""
        ours, theirs = self.median(case, "ours"), self.median(case, "theirs")
        if ours is None or theirs is None:
            return None
        return Ratios(
            ours.requests_per_s / theirs.requests_per_s, ours.p50_ms / theirs.p50_ms, ours.p99_ms / theirs.p99_ms
        )

    def errors(self) -> list[str]:
        """One line for each run that failed."""
        return [
            f"{case.name}, {case.clients} clients, {side}, round {number}: {sample.error}"
            for case, by_side in self.samples.items()
            for side, samples in by_side.items()
            for number, sample in enumerate(samples, start=1)
            if sample.error
        ]

    def as_json(self) -> list[dict[str, Any]]:
        """Every figure as plain data."""
        return [self.case_as_json(case) for case in self.samples]

    def case_as_json(self, case: Case) -> dict[str, Any]:
        """One case as plain data: for each side its median and its samples, and the ratios."""
        entry: dict[str, Any] = {"case": case.name, "clients": case.clients}
        for side, samples in self.samples[case].items():
            middle = median_of(samples)
            entry[side] = {
                "median": middle.as_json() if middle else None,
                "samples": [sample.as_json() for sample in samples],
            }
        ratios = self.ratios(case)
        entry["ratios"] = vars(ratios) if ratios else None
        return entry
