"""Draws what ``tools/bench/run --json`` has measured: throughput and latency against clients, and against tensor size."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from .errors import BenchError
from .plot_data import Data, Panel, Part, read

#: Told apart by colour, also by those who see few of them, by shape, and in grey by both lightness and shape.
_COLOURS: Final = {"ours": "#0060b0", "theirs": "#e07b00"}
_MARKERS: Final = {"ours": "o", "theirs": "s"}
_NAMES: Final = {"ours": "tis", "theirs": "Triton 2.51"}
_STYLES: Final = {"p50_ms": "-", "p99_ms": ":"}
_COLUMNS: Final = 4
_DPI: Final = 110
_Axes = Any  # matplotlib is an extra
_Draw = Callable[[_Axes, Panel], None]
DESCRIPTION = """\
Draws PNG files from the JSON of tools/bench/run: clients_throughput.png, clients_latency.png (cases with several numbers of
clients) and sizes.png (those of --only=sizes). Bands reach from the least to the most of any round. Needs the extra `plot`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; the exit status is 0 if there was something to draw."""
    parser = argparse.ArgumentParser("tools/bench/plots", description=DESCRIPTION)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS.json", help="later ones win over earlier ones"
    )
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    given = parser.parse_args(arguments)
    try:
        for path in draw(read(given.results), given.out):
            print(path)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"error: {error}; the extra `plot` has it", file=sys.stderr)
        return 2
    return 0


def draw(data: Data, folder: Path) -> list[Path]:
    """Write the files that there is something for; gives their paths."""
    against = " and ".join(_NAMES[side] for side in data.sides)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if data.clients.panels:
        path = folder / "clients_throughput.png"
        grid = _grid(data.clients.panels, throughput_by_clients)
        figure(path, data.clients, f"Requests per second against clients: {against}", grid)
        written.append(path)
        path = folder / "clients_latency.png"
        grid = _grid(data.clients.panels, latency_by_clients)
        figure(path, data.clients, f"Latency against clients: {against}", grid, _STYLES)
        written.append(path)
    if data.sizes.panels:
        path = folder / "sizes.png"
        rows = [[(panel, each) for panel in data.sizes.panels] for each in (throughput_by_size, latency_by_size)]
        title = f"Identity in Python against the size of its tensor, in and out: {against}"
        figure(path, data.sizes, title, rows, _STYLES)
        written.append(path)
    return written


def _grid(panels: Sequence[Panel], draw_one: _Draw) -> list[list[tuple[Panel, _Draw]]]:
    columns = min(_COLUMNS, len(panels)) if len(panels) != _COLUMNS + 1 else _COLUMNS - 1
    return [[(panel, draw_one) for panel in panels[at : at + columns]] for at in range(0, len(panels), columns)]


def figure(
    path: Path,
    part: Part,
    title: str,
    rows: Sequence[Sequence[tuple[Panel, _Draw]]],
    styles: dict[str, str] | None = None,
) -> None:
    """Write one file: a grid of panels under a title, with one legend for all."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    columns = max(len(row) for row in rows)
    height = 3.0 * len(rows) + 1.3
    made, axes = plt.subplots(
        len(rows), columns, figsize=(max(3.6 * columns, 7.5), height), squeeze=False, layout="constrained"
    )
    for axes_row, row in zip(axes, rows, strict=True):
        for axis, (panel, draw_one) in zip(axes_row, row, strict=False):
            draw_one(axis, panel)
        for axis in axes_row[len(row) :]:
            axis.set_visible(False)
    handles = [Line2D([], [], color=_COLOURS[side], marker=_MARKERS[side], label=_NAMES[side]) for side in part.sides]
    for name, style in (styles or {}).items():
        handles.append(Line2D([], [], color="0.3", ls=cast("Any", style), label=name.removesuffix("_ms")))
    made.suptitle(title, fontsize=13, fontweight="bold")
    # The place of measurement is the legend's title: as a text of its own at the bottom it would lie over the legend.
    words = {"title": part.where, "title_fontsize": 8, "frameon": False}
    made.legend(handles=handles, loc="outside lower center", ncols=len(handles), **words)
    made.savefig(path, dpi=_DPI)
    plt.close(made)


def throughput_by_clients(axis: _Axes, panel: Panel) -> None:
    """Requests a second, from 0."""
    _lines(axis, panel, "requests_per_s")
    axis.set_ylim(0, 1.08 * max(point.most["requests_per_s"] for points in panel.lines.values() for point in points))
    axis.yaxis.set_major_formatter(_thousands)
    _clients_axis(axis, panel, "requests/s")


def latency_by_clients(axis: _Axes, panel: Panel) -> None:
    """p50 and p99, on a logarithmic axis: they are far apart."""
    for name, style in _STYLES.items():
        _lines(axis, panel, name, style)
    axis.set_yscale("log")
    _plain_log(axis.yaxis)
    _clients_axis(axis, panel, "latency, ms")


def throughput_by_size(axis: _Axes, panel: Panel) -> None:
    """Requests a second, on logarithmic axes."""
    _lines(axis, panel, "requests_per_s")
    _size_axis(axis, panel, "requests/s")


def latency_by_size(axis: _Axes, panel: Panel) -> None:
    """p50 and p99, on logarithmic axes."""
    for name, style in _STYLES.items():
        _lines(axis, panel, name, style)
    _size_axis(axis, panel, "latency, ms")


def _lines(axis: _Axes, panel: Panel, name: str, style: str = "-") -> None:
    for side, points in panel.lines.items():
        xs = [point.x for point in points]
        look = {
            "color": _COLOURS[side],
            "marker": _MARKERS[side],
            "linestyle": style,
            "markersize": 5,
            "linewidth": 1.8,
        }
        axis.plot(xs, [point.median[name] for point in points], **look)
        least, most = [point.least[name] for point in points], [point.most[name] for point in points]
        axis.fill_between(xs, least, most, color=_COLOURS[side], alpha=0.12, linewidth=0)


def _clients_axis(axis: _Axes, panel: Panel, unit: str) -> None:
    axis.set_xscale("log", base=2)
    _ticks(axis, panel, lambda clients: f"{clients:.0f}")
    _label(axis, panel, "clients", unit)


def _size_axis(axis: _Axes, panel: Panel, unit: str) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    _plain_log(axis.yaxis)
    _ticks(axis, panel, size_text)
    _label(axis, panel, "size of the tensor", unit)


def _ticks(axis: _Axes, panel: Panel, text: Callable[[float], str]) -> None:
    """Ticks where something was measured, and nowhere else."""
    xs = sorted({point.x for points in panel.lines.values() for point in points})
    axis.set_xticks(xs, [text(x) for x in xs])
    axis.set_xticks([], minor=True)


def _label(axis: _Axes, panel: Panel, x: str, y: str) -> None:
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8.5)
    axis.grid(visible=True, alpha=0.3)


def _plain_log(axis: _Axes) -> None:
    """A logarithmic axis with numbers as people write them, and enough of them where it spans less than a decade or two."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(_thousands)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _thousands(value: float, _position: int = 0) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def size_text(size: float) -> str:
    """A number of bytes as people write it."""
    for unit, scale in (("MB", 1e6), ("KB", 1024.0)):
        if size >= scale:
            return f"{size / scale:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size:.0f} B"
