"""What one load run measured, and the median of several."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One run of one load generator. A run with an error keeps its text and is never counted."""

    requests_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"{self.requests_per_s:,.0f}/s, p50 {self.p50_ms:.3f} ms, p99 {self.p99_ms:.3f} ms"

    def as_json(self) -> dict[str, Any]:
        """The sample as plain data."""
        return asdict(self)


def median_of(samples: list[Sample]) -> Sample | None:
    """The median of each figure over the good samples, or None if there is none."""
    good = [sample for sample in samples if not sample.error]
    if not good:
        return None
    return Sample(
        median(sample.requests_per_s for sample in good),
        median(sample.p50_ms for sample in good),
        median(sample.p99_ms for sample in good),
    )


def percentile(sorted_values: list[int], fraction: float) -> float:
    """The nearest-rank percentile of values that are sorted and not empty."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * fraction))]
