"""A chaos run as a picture: answers a second, what happened meanwhile from its beginning to its end, and what was refused."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

from tools.soak_chaos import plan
from tools.soak_chaos.ledger import Incident
from tools.soak_chaos.report import Report
from tools.soak_mixed.tally import How

#: By what is done, so that deaths stand out.
_COLOURS: Final = {
    plan.KILL: "#c0392b",
    plan.STOP: "#8e44ad",
    plan.PAUSE: "#2980b9",
    "": "#7f8c8d",
}
_DEADLY: Final = (plan.KILL_MANY, plan.SEGFAULT)
#: Incidents of a moment are drawn so wide that they can be seen: a share of the whole.
_LEAST_SHARE: Final = 0.002


def draw(report: Report, path: Path) -> None:
    """Throughput above, incidents by kind beneath it, refused and lost requests at the bottom; one axis of time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ledger = report.ledger
    end_s = max(part.ended_s for part in report.parts) - ledger.began_s
    kinds = [kind for kind in plan.KINDS if any(each.kind == kind for each in ledger.incidents)]
    figure, (rate, lanes, errors) = plt.subplots(
        3, 1, figsize=(16, 10), sharex=True, height_ratios=[4, 0.3 * len(kinds) + 0.3, 2.2], layout="constrained"
    )
    seconds = range(int(end_s) + 1)
    right = ledger.seconds[How.RIGHT]
    rate.fill_between(seconds, [right[each] for each in seconds], step="post", color="#27ae60", alpha=0.7, linewidth=0)
    rate.set_ylabel("right answers a second")
    rate.set_ylim(bottom=0)
    for incident in ledger.incidents:
        if incident.victims:
            at_s = incident.began_s - ledger.began_s
            rate.axvline(at_s, color=_colour(incident.kind), linewidth=0.8, alpha=0.7)
    _draw_lanes(lanes, ledger.incidents, kinds, ledger.began_s, end_s)
    _draw_errors(errors, ledger.seconds[How.REFUSED], ledger.seconds[How.LOST], len(seconds))
    errors.set_xlabel("seconds")
    for axis in (rate, lanes, errors):
        axis.grid(visible=True, axis="x", alpha=0.3)
        for part in report.parts:
            axis.axvspan(
                part.began_s - ledger.began_s, part.ended_s - ledger.began_s, color="#3498db", alpha=0.06, zorder=0
            )
    for part in report.parts:
        rate.text(
            part.began_s - ledger.began_s,
            1.01,
            f" models are loaded by {'calls' if part.mode == plan.EXPLICIT else 'changes of their files'}",
            transform=rate.get_xaxis_transform(),
        )
    rate.set_xlim(0, end_s)
    figure.suptitle(
        f"Chaos: {ledger.sent:,} requests, {ledger.count(How.RIGHT):,} right, {ledger.count(How.REFUSED):,} refused, "
        f"{ledger.count(How.LOST):,} lost with their frontend, {ledger.count(How.WRONG)} wrong, "
        f"{ledger.sent - ledger.done} unaccounted"
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_lanes(axis: Any, incidents: list[Incident], kinds: list[str], began_s: float, end_s: float) -> None:
    """A row for each kind: from the beginning until all were answered again, paler until everybody was back."""
    least_s = end_s * _LEAST_SHARE
    for row, kind in enumerate(kinds):
        for incident in (each for each in incidents if each.kind == kind):
            start_s = incident.began_s - began_s
            over_s = (incident.ended_s or began_s + end_s) - began_s
            colour = _colour(kind)
            axis.barh(row, max(over_s - start_s, least_s), left=start_s, color=colour, alpha=0.35, height=0.75)
            if incident.recovery_s is not None:
                axis.barh(row, max(incident.recovery_s, least_s), left=start_s, color=colour, height=0.75)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.set_ylim(len(kinds) - 0.5, -0.5)
    for label, kind in zip(axis.get_yticklabels(), kinds, strict=True):
        label.set_color(_colour(kind))


def _draw_errors(axis: Any, refused: Counter[int], lost: Counter[int], seconds: int) -> None:
    """What was refused and what was lost, second by second; logarithmic, since one lost request is worth seeing, too."""
    axis.bar(list(refused), list(refused.values()), width=1.0, align="edge", color="#e67e22", label="refused")
    axis.bar(list(lost), list(lost.values()), width=1.0, align="edge", color="black", label="lost with their frontend")
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylabel("not answered a second")
    axis.set_xlim(0, seconds)
    axis.legend(loc="upper right", ncols=2)


def _colour(kind: str) -> str:
    if kind in _DEADLY:
        return _COLOURS[plan.KILL]
    return _COLOURS.get(kind.partition(" ")[0], _COLOURS[""])
