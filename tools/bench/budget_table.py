"""What a request costs each process, as tables: one for reading, one in Markdown for the docs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .accounts import ROLES, Account, rank
from .errors import BenchError
from .samples import Sample
from .table import MISSING, layout

#: Between these lines the docs keep the tables.
BEGIN: Final = "<!-- tools/bench/budget: begin -->"
END: Final = "<!-- tools/bench/budget: end -->"
LOAD: Final = "load"
SERVER: Final = "the server"
CAPTIONS: Final = {"frontend": "frontends", "worker": "workers"}


@dataclass(frozen=True)
class Share:
    """What the processes of one role used, and how many they were."""

    role: str
    processes: int
    account: Account


@dataclass(frozen=True)
class Budget:
    """One case at one number of clients: what each role used for so many requests. The load generator is among the shares."""

    case: str
    clients: int
    requests: int
    sample: Sample
    shares: tuple[Share, ...]

    def share(self, role: str) -> Share | None:
        """What a role used; None for one that was not there. `SERVER` is all but the load generator."""
        if role == SERVER:
            mine = [share for share in self.shares if share.role != LOAD]
            return Share(
                SERVER, sum(share.processes for share in mine), sum((each.account for each in mine), Account())
            )
        return next((share for share in self.shares if share.role == role), None)

    def cpu_us(self, share: Share) -> float:
        """Microseconds on a core for each request."""
        return share.account.cpu_ns / 1e3 / self.requests

    def as_json(self) -> dict[str, Any]:
        """Every figure as plain data, by request."""
        shares = [*self.shares, self.share(SERVER)]
        return {
            "case": self.case,
            "clients": self.clients,
            "requests": self.requests,
            "sample": self.sample.as_json(),
            "shares": [
                {
                    "role": share.role,
                    "processes": share.processes,
                    "cpu_us": self.cpu_us(share),
                    "wakeups": share.account.voluntary / self.requests,
                    "preemptions": share.account.involuntary / self.requests,
                    "page_faults": share.account.faults / self.requests,
                }
                for share in shares
                if share is not None
            ],
        }


def roles_of(budgets: Iterable[Budget]) -> list[str]:
    """The roles that used anything, as a request meets them, then their sum, then the load generator."""
    found = {share.role for budget in budgets for share in budget.shares}
    ours = sorted((role for role in found if role != LOAD), key=lambda role: (rank(role), role))
    return [*ours, SERVER, *([LOAD] if LOAD in found else [])]


def caption(role: str, count: int) -> str:
    """What a row is called."""
    return f"{count} {CAPTIONS.get(role, role)}" if count > 1 and role in ROLES else role


def text_table(budgets: Sequence[Budget]) -> str:
    """A row for each case, number of clients and role."""
    rows = [["case", "clients", "process", "µs of CPU", "wake-ups", "preempted", "page faults", "requests/s", "p50 ms"]]
    for budget in budgets:
        for role in roles_of([budget]):
            share = budget.share(role)
            if share is None:
                continue
            account = share.account
            cells = [f"{budget.cpu_us(share):.1f}", *(f"{each / budget.requests:.2f}" for each in counts(account))]
            measured = (
                [f"{budget.sample.requests_per_s:,.0f}", f"{budget.sample.p50_ms:.3f}"] if role == SERVER else ["", ""]
            )
            rows.append([budget.case, str(budget.clients), caption(role, share.processes), *cells, *measured])
    return f"{layout(rows)}\nEach figure is by request; requests/s and p50 are what the load generator saw."


def counts(account: Account) -> tuple[int, int, int]:
    """What is counted, in the order of the table's columns."""
    return account.voluntary, account.involuntary, account.faults


def put_into(document: str, content: str) -> str:
    """The document with this content between the lines `BEGIN` and `END`; raises where it has not got each of them once."""
    before, begin, rest = document.partition(f"{BEGIN}\n")
    _old, end, after = rest.partition(f"{END}\n")
    if not begin or not end or BEGIN in rest or END in after:
        raise BenchError(f"there is no place for the tables: it takes a line {BEGIN} and after it a line {END}")
    return f"{before}{begin}\n{content}\n\n{end}{after}"


def markdown_tables(budgets: Sequence[Budget]) -> str:
    """A table for each case: a row for each role, a column for each number of clients."""
    cases = dict.fromkeys(budget.case for budget in budgets)
    return "\n\n".join(markdown_table([budget for budget in budgets if budget.case == case]) for case in cases)


def markdown_table(budgets: Sequence[Budget]) -> str:
    """One case: µs of CPU a request and, in parentheses, wake-ups a request."""
    heads = [f"{budget.clients} client{'s' if budget.clients != 1 else ''}" for budget in budgets]
    lines = [
        f"| `{budgets[0].case}`: µs of CPU (wake-ups) a request | {' | '.join(heads)} |",
        "|---|" + "---|" * len(heads),
    ]
    for role in roles_of(budgets):
        shares = [budget.share(role) for budget in budgets]
        most = max(share.processes for share in shares if share is not None)
        cells = [markdown_cell(budget, share) for budget, share in zip(budgets, shares, strict=True)]
        lines.append(f"| {caption(role, most)} | {' | '.join(cells)} |")
    lines.append("| requests/s | " + " | ".join(f"{budget.sample.requests_per_s:,.0f}" for budget in budgets) + " |")
    lines.append("| p50, µs | " + " | ".join(f"{budget.sample.p50_ms * 1e3:,.0f}" for budget in budgets) + " |")
    return "\n".join(lines)


def markdown_cell(budget: Budget, share: Share | None) -> str:
    """What a role used at one number of clients."""
    if share is None:
        return MISSING
    return f"{budget.cpu_us(share):.1f} ({share.account.voluntary / budget.requests:.2f})"
