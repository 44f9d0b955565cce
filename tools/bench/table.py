"""Text tables, and the table of a comparison."""

from collections.abc import Sequence

from .results import Ratios, Results
from .samples import Sample

MISSING = "-"
HEADINGS = {"ours": ("ours/s", "p50 ms", "p99 ms"), "theirs": ("theirs/s", "p50 ms", "p99 ms")}
RATIO_HEADINGS = ("x/s", "x p50", "x p99")
LEGEND = "x: ours/theirs; above 1 is better for requests per second, below 1 for p50 and p99."


def comparison_table(results: Results, sides: Sequence[str], rounds: int) -> str:
    """The medians of each side and, with two sides, the ratios; a ! marks rounds that failed and are not counted."""
    both = len(sides) == len(HEADINGS)
    heading = ["case", "clients", *(name for side in sides for name in HEADINGS[side])]
    rows = [[*heading, *RATIO_HEADINGS] if both else heading]
    for case, by_side in results.samples.items():
        row = [case.name, str(case.clients)]
        for side in sides:
            failed = sum(1 for sample in by_side[side] if sample.error)
            row += sample_cells(results.median(case, side), f"!{failed}/{rounds}" if failed else "")
        if both:
            row += ratio_cells(results.ratios(case))
        rows.append(row)
    text = layout(rows)
    return f"{text}\n{LEGEND}" if both else text


def sample_cells(sample: Sample | None, mark: str) -> list[str]:
    """Three cells; the mark tells of failed rounds."""
    if sample is None:
        return [f"{mark} {MISSING}".strip(), MISSING, MISSING]
    return [f"{mark} {sample.requests_per_s:,.0f}".strip(), f"{sample.p50_ms:.3f}", f"{sample.p99_ms:.3f}"]


def ratio_cells(ratios: Ratios | None) -> list[str]:
    """Three cells."""
    if ratios is None:
        return [MISSING] * 3
    return [f"{ratio:.2f}" for ratio in (ratios.requests_per_s, ratios.p50, ratios.p99)]


def layout(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of cells: the first column to the left, the others to the right, a rule under the first row."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
