"""The cases that are measured: a load generator, a model and a number of clients."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import load_h2load, load_perf_analyzer, load_wrk
from .errors import BenchError, RunError
from .models import MODELS, Model, Serving
from .payloads import grpc_payload, http_payload
from .samples import Sample
from .servers import Endpoint

CLIENTS = (1, 16, 64)
PERF_CLIENTS = (1, 16)
#: Loads by light generators, with the program that each takes.
LIGHT_LOADS = {"http": "wrk", "grpc": "h2load", "stream": "h2load"}
PERF_LOADS = ("perf-http", "perf-grpc")
PAIRS = [(load, model) for load in (*LIGHT_LOADS, *PERF_LOADS) for model in MODELS if load in model.loads]
NAMES = [f"{load}-{model.size}" for load, model in PAIRS if not model.group]
#: Names of groups and the cases in them.
GROUPS = {
    group: [f"{load}-{model.size}" for load, model in PAIRS if model.group == group]
    for group in sorted({model.group for model in MODELS if model.group})
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    load: str
    model: Model
    clients: int

    @property
    def name(self) -> str:
        """What ``--only`` calls it."""
        return f"{self.load}-{self.model.size}"


@dataclass(frozen=True)
class Conditions:
    """What all the cases have in common."""

    serving: Serving
    seconds: int
    warmup_s: int
    perf_analyzer: Path | None
    folder: Path


def select(only: Iterable[str], clients: Iterable[int] | None, *, with_perf: bool) -> list[Case]:
    """The cases asked for, by name or as a group.

    An empty ``only`` means all but groups, and perf_analyzer's just if asked for.
    """
    asked = {name for each in only for name in GROUPS.get(each, [each])}
    wanted = asked or {name for name in NAMES if with_perf or not name.startswith("perf-")}
    known = [*NAMES, *(name for names in GROUPS.values() for name in names)]
    unknown = sorted(wanted.difference(known))
    if unknown:
        raise BenchError(f"no such case: {', '.join(unknown)}; there are: {', '.join([*known, *GROUPS])}")
    every = [
        Case(load, model, count)
        for load, model in PAIRS
        for count in (clients or model.clients or (PERF_CLIENTS if load in PERF_LOADS else CLIENTS))
    ]
    return [case for case in every if case.name in wanted]


def measure(case: Case, endpoint: Endpoint, conditions: Conditions) -> Sample:
    """Measure one case between two checks that the server answers, and answers right."""
    protocol = case.load.removeprefix("perf-")
    try:
        if protocol == "http":
            return measure_http(case, endpoint, conditions)
        return measure_grpc(case, endpoint, conditions)
    except RunError as error:
        return Sample(error=str(error))


def measure_http(case: Case, endpoint: Endpoint, conditions: Conditions) -> Sample:
    """Measure a case over HTTP."""
    payload = http_payload(case.model, conditions.serving)
    payload.check(endpoint)
    if case.load in PERF_LOADS:
        sample = measure_perf(case, endpoint, conditions)
    else:
        sample = after_warmup(
            conditions, lambda seconds: load_wrk.measure(endpoint, payload, case.clients, seconds, conditions.folder)
        )
    payload.check(endpoint)
    return sample


def measure_grpc(case: Case, endpoint: Endpoint, conditions: Conditions) -> Sample:
    """Measure a case over gRPC."""
    payload = grpc_payload(case.model, conditions.serving, streamed=case.load == "stream")
    answer_bytes = payload.check(endpoint)
    if case.load in PERF_LOADS:
        sample = measure_perf(case, endpoint, conditions)
    else:
        sample = after_warmup(
            conditions,
            lambda seconds: load_h2load.measure(
                endpoint, payload, answer_bytes, case.clients, seconds, conditions.folder
            ),
        )
    payload.check(endpoint)
    return sample


def measure_perf(case: Case, endpoint: Endpoint, conditions: Conditions) -> Sample:
    """Measure a case with perf_analyzer, which warms up by itself."""
    if conditions.perf_analyzer is None:
        raise BenchError("perf_analyzer is missing; name it by TIS_PERF_ANALYZER or --perf-analyzer")
    load = (case.load.removeprefix("perf-"), case.clients)
    report = conditions.folder / "perf_analyzer.csv"
    return load_perf_analyzer.measure(conditions.perf_analyzer, endpoint, case.model, load, conditions.seconds, report)


def after_warmup(conditions: Conditions, load: Callable[[int], Sample]) -> Sample:
    """Run a load twice: shortly, for nothing but the warmth, and then to measure."""
    if conditions.warmup_s:
        load(conditions.warmup_s)
    return load(conditions.seconds)
