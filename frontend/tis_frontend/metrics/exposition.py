"""Prometheus' text format: families, samples, labels and numbers as Triton writes them. Knows no metric."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

#: A sample: what follows the family's name, the labels already written, and the value.
Sample = tuple[str, str, float]


class Family(NamedTuple):
    """A metric's name, kind and explanation."""

    name: str
    kind: str
    help: str

    def lines(self, samples: Iterable[Sample]) -> Iterator[str]:
        """The family with its samples; nothing at all where it has none."""
        written = [f"{self.name}{suffix}{labels} {number(value)}" for suffix, labels, value in samples]
        if written:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} {self.kind}"
            yield from written


def labels(pairs: Mapping[str, str], last: tuple[str, str] | None = None) -> str:
    """Labels in alphabetical order, as Triton's are; `last` comes behind them, as Prometheus writes its own."""
    ordered = sorted(pairs.items())
    if last is not None:
        ordered.append(last)
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in ordered)
    return f"{{{inside}}}" if inside else ""


def number(value: float) -> str:
    """A value, as C++ streams write doubles with 16 digits: whole numbers without a point."""
    if value != value:
        return "Nan"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.16g}"


def summary_samples(pairs: Mapping[str, str], count: int, total: float, values: Mapping[str, float]) -> list[Sample]:
    """The samples of one summary; `values` by quantile as it is written."""
    plain = labels(pairs)
    return [
        ("_count", plain, count),
        ("_sum", plain, total),
        *(("", labels(pairs, ("quantile", quantile)), value) for quantile, value in values.items()),
    ]


def histogram_samples(
    pairs: Mapping[str, str], bounds: Sequence[float], counts: Sequence[int], total: float
) -> Iterator[Sample]:
    """The samples of one histogram; `counts` has one more than `bounds` and is not cumulated."""
    plain = labels(pairs)
    yield "_count", plain, sum(counts)
    yield "_sum", plain, total
    seen = 0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        seen += count
        yield "_bucket", labels(pairs, ("le", number(bound))), seen
