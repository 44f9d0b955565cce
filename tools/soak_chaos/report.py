"""What a chaos run has shown, for people."""

import statistics
from dataclasses import dataclass, field
from typing import Final

from tools.soak_chaos import plan
from tools.soak_chaos.holdings import Holdings
from tools.soak_chaos.judge import forms
from tools.soak_chaos.ledger import BESIDE, Incident, Ledger
from tools.soak_mixed.tally import How

_MIB: Final = 1 << 20
_FORMS: Final = 12


@dataclass
class Part:
    """The server of one mode of model control: how long it had chaos, and what it held before and after."""

    mode: str
    began_s: float = 0.0
    ended_s: float = 0.0
    before: Holdings = field(default_factory=Holdings)
    after: Holdings = field(default_factory=Holdings)
    lost_lines: int = 0


@dataclass
class Report:
    """What a chaos run has shown. No problems: it has passed."""

    plan: plan.Plan
    ledger: Ledger
    parts: list[Part] = field(default_factory=list)
    refused_for_room: int = 0
    vanished: int = 0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """All of it."""
        ledger = self.ledger
        took_s = sum(part.ended_s - part.began_s for part in self.parts)
        answered, refused, lost = (ledger.count(how) for how in (How.RIGHT, How.REFUSED, How.LOST))
        lines = [
            f"requests   {ledger.sent} in {took_s:.0f} s of chaos and before it; longest {ledger.longest_s:.1f} s",
            f"right      {answered}",
            f"refused    {refused}",
            *(f"           {count:6} x {text}" for text, count in forms(ledger.exceptions).most_common(_FORMS)),
            f"lost       {lost} with the frontend that had them; {self.vanished} more were left by their own clients",
            f"wrong      {ledger.count(How.WRONG)}",
            f"unaccounted {ledger.sent - ledger.done}",
            f"sequences  {ledger.sequences_whole} whole, {ledger.sequences_broken} broken off",
            f"{'':44} {'times':>6} {'until all were answered again, s':>34}",
            f"{'':44} {'':6} {'median':>22} {'longest':>11}",
        ]
        for kind in plan.KINDS:
            found = [each for each in ledger.incidents if each.kind == kind]
            alone = [each for each in found if not each.detail.endswith(BESIDE)]
            lines += [_row(kind, alone)] if alone or not found else []
            lines += (
                [_row(f"{kind}, {BESIDE}", [each for each in found if each not in alone])] if alone != found else []
            )
        for part in self.parts:
            lines += _held(part)
        lines += [f"PROBLEM    {problem}" for problem in self.problems]
        return "\n".join([*lines, "FAILED" if self.problems else "PASSED"])


def _row(kind: str, incidents: list[Incident]) -> str:
    found = [each.recovery_s for each in incidents if each.recovery_s is not None]
    times = f"{statistics.median(found):22.2f} {max(found):11.2f}" if found else ""
    return f"{kind:44} {len(incidents):6} {times}".rstrip()


def _held(part: Part) -> list[str]:
    lines = [
        f"mode {part.mode}: {part.ended_s - part.began_s:.0f} s; {part.lost_lines} lines of the log lost and counted"
    ]
    lines.append(f"{'':12} {'processes':>14} {'memory (PSS), MiB':>22} {'most descriptors':>20}")
    for kind in sorted(part.before.processes | part.after.processes):
        before, after = part.before, part.after
        lines.append(
            f"  {kind:10} {before.processes[kind]:5} -> {after.processes[kind]:5} "
            f"{before.memory_bytes[kind] / _MIB:9.1f} -> {after.memory_bytes[kind] / _MIB:9.1f} "
            f"{before.descriptors.get(kind, 0):8} -> {after.descriptors.get(kind, 0):8}"
        )
    lines.append(
        f"  {'all':10} {part.before.processes.total():5} -> {part.after.processes.total():5} "
        f"{part.before.whole_bytes / _MIB:9.1f} -> {part.after.whole_bytes / _MIB:9.1f}; pool empty; "
        f"/dev/shm entries {part.before.shm_entries} -> {part.after.shm_entries}"
    )
    return lines
