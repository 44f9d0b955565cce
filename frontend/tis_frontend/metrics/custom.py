"""The families that models make for themselves, behind the server's own; those of the same name join them."""

from collections.abc import Iterator, Sequence
from typing import Final

from tis.contracts import messages as m
from tis_frontend.metrics.exposition import Family, Sample, histogram_samples, labels

_TYPE: Final = "# TYPE "
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


def with_custom(lines: list[str], families: Sequence[m.CustomFamily]) -> list[str]:
    """The server's lines and those of models. A family that the server has, too, is there once."""
    for custom in families:
        family = Family(custom.name, custom.kind, custom.help.translate(_ESCAPES))
        own = list(family.lines(_samples(custom)))
        head = f"{_TYPE}{custom.name} {custom.kind}"
        if head not in lines:
            lines += own
            continue
        end = lines.index(head) + 1
        while end < len(lines) and not lines[end].startswith("#"):
            end += 1
        lines[end:end] = own[2:]
    return lines


def _samples(family: m.CustomFamily) -> Iterator[Sample]:
    for sample in family.samples:
        if family.kind == "histogram":
            yield from histogram_samples(sample.labels, _bounds(sample), _counts(sample), sample.value)
        else:
            yield "", labels(sample.labels), sample.value


def _bounds(sample: m.CustomSample) -> Sequence[float]:
    """Those but for an infinite one, which every histogram has at its end."""
    return sample.bounds[:-1] if _ends_infinite(sample) else sample.bounds


def _counts(sample: m.CustomSample) -> Sequence[int]:
    return (*sample.counts[:-2], sample.counts[-2] + sample.counts[-1]) if _ends_infinite(sample) else sample.counts


def _ends_infinite(sample: m.CustomSample) -> bool:
    return bool(sample.bounds) and sample.bounds[-1] == float("inf")
