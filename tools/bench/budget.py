"""The budget of a request: what each process of this server spends on it, read from the kernel's accounts.

`budget_table.py` makes the tables, `accounts.py` reads ``/proc``.
"""

import argparse
import http.client
import json
import resource
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import machine
from .accounts import Account, by_role, look, processes, used
from .budget_table import LOAD, Budget, Share, markdown_tables, put_into, text_table
from .cases import LIGHT_LOADS, Case, Conditions, measure, select
from .errors import BenchError, RunError
from .load_tools import require
from .models import Serving, write_repository
from .options import BEST_INSTANCES, BEST_MAX_BATCH_SIZE, positive, split
from .servers import Endpoint, Running, end_on_sigterm, serving

DEFAULT_CASES = "http-python-small,http-python-large,grpc-python-small,grpc-python-large"
DESCRIPTION = """\
Starts this server, puts load on it and prints, for each process, what a request costs: µs on a core, how often it sleeps and
is woken, how often another one takes its core, and the pages that it touches for the first time. On a machine where load and
server share the cores, compare rows, not sums.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit status is 0 if every run was good."""
    end_on_sigterm()
    given = parser().parse_args(arguments)
    try:
        cases = [case for case in chosen(given.only, given.clients) if case.load in LIGHT_LOADS]
        for case in cases:
            require(LIGHT_LOADS[case.load])
        where = machine.description()
        print("\n".join(f"{key}: {value}" for key, value in where.items()) + "\n", file=sys.stderr)
        if given.into:
            put_into(given.into.read_text(), "")  # says now, rather than after minutes, that it cannot
        command = [*shlex.split(given.tis_command), f"--frontends={given.frontends}", *shlex.split(given.tis_args)]
        budgets = measure_all(command, cases, Serving(given.max_batch_size, given.instances), given.seconds)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    good = [budget for budget in budgets if not budget.sample.error]
    if good:
        print(markdown_tables(good) if given.markdown else text_table(good))
    if given.into and good:
        text = markdown_tables(good)
        given.into.write_text(put_into(given.into.read_text(), f"{text}\n\n{measured(where, given.seconds)}"))
    if given.json:
        document = {"machine": where, "command": command, "budgets": [budget.as_json() for budget in good]}
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    failed = [budget for budget in budgets if budget.sample.error]
    for budget in failed:
        print(f"error: {budget.case}, {budget.clients} clients: {budget.sample.error}", file=sys.stderr)
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser("tools/bench/budget", description=DESCRIPTION)
    result.add_argument(
        "--only", default=DEFAULT_CASES, metavar="CASE,...", help=f"as of run (default {DEFAULT_CASES})"
    )
    result.add_argument("--clients", default="", metavar="N,...", help="only these numbers of clients")
    result.add_argument("--seconds", type=positive, default=5, help="length of each measurement (default 5)")
    result.add_argument("--frontends", type=positive, default=1, help="processes that speak HTTP and gRPC (default 1)")
    result.add_argument("--max-batch-size", type=int, default=BEST_MAX_BATCH_SIZE, help="0: no batching")
    result.add_argument("--instances", type=positive, default=BEST_INSTANCES, help="instances of each model")
    result.add_argument("--tis-command", default=shlex.join([sys.executable, "-m", "tis", "serve"]))
    result.add_argument("--tis-args", default="", metavar="'ARG ...'", help="further arguments for that command")
    result.add_argument("--markdown", action="store_true", help="print tables for the docs")
    result.add_argument(
        "--into", type=Path, metavar="FILE", help="also put the tables into their place in this document"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    return result


def measured(where: Mapping[str, str], seconds: int) -> str:
    """Where and how the tables were measured, for the docs."""
    return f"Measured on {where['cpu']}, commit {where['commit']}, {where['time'][:10]}, {seconds} s each."


def chosen(only: str, clients: str) -> list[Case]:
    """The cases of the command line."""
    return select(split(only), [int(count) for count in split(clients)] or None, with_perf=False)


def measure_all(command: Sequence[str], cases: Sequence[Case], models: Serving, seconds: int) -> list[Budget]:
    """Measure cases one after the other, each case's model alone on a fresh server: idle ones would be in the account."""
    budgets = []
    for name in dict.fromkeys(case.name for case in cases):
        mine = [case for case in cases if case.name == name]
        with tempfile.TemporaryDirectory(prefix="tis-bench-") as made:
            folder = Path(made)
            repository = write_repository(folder / "models", "onnxruntime", models, [mine[0].model])
            conditions = Conditions(models, seconds, 0, None, folder)
            with serving(command, repository, folder / "server.log") as running:
                budgets += [measure_one(case, running, conditions) for case in mine]
    return budgets


def measure_one(case: Case, running: Running, conditions: Conditions) -> Budget:
    """Warm up, then measure between two looks at the accounts and at the number of requests that the server has answered."""
    warm = measure(case, running.endpoint, replace(conditions, seconds=1))
    found = processes(running.pid)
    asked, before, loaded = answered(running.endpoint, case), look(found), load_account()
    sample = warm if warm.error else measure(case, running.endpoint, conditions)
    accounts = used(before, look(found))
    load = load_account() - loaded
    requests = (answered(running.endpoint, case) - asked) * case.model.responses
    shares = [Share(role, count, account) for role, (count, account) in by_role(accounts).items()]
    print(f"{case.name} {case.clients}: {sample}", file=sys.stderr, flush=True)
    return Budget(case.name, case.clients, max(requests, 1), sample, (*shares, Share(LOAD, 1, load)))


def answered(endpoint: Endpoint, case: Case) -> int:
    """How many requests of the case's model have been answered, by the server's statistics."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.http_port, timeout=30)
    try:
        connection.request("GET", f"/v2/models/{case.model.name}/stats")
        document = json.loads(connection.getresponse().read())
        return int(document["model_stats"][0]["inference_stats"]["success"]["count"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise RunError(f"no statistics of {case.model.name}: {error!r}") from error
    finally:
        connection.close()


def load_account() -> Account:
    """What the load generators have used that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Account(int((usage.ru_utime + usage.ru_stime) * 1e9), usage.ru_nvcsw, usage.ru_nivcsw, usage.ru_minflt)
