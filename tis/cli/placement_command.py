"""`tis placement`: where the server would run each instance of a repository, on this machine or an invented one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from tis.cli.values import ValueRefusedError, host_policy
from tis.config.resolve import Surroundings, with_placement
from tis.config.spec import model_spec
from tis.config.spreading import GpuRoom
from tis.contracts.model_spec import InstanceSpec
from tis.errors import TisError
from tis.pinned import core_list
from tis.repository.definition import read_definition
from tis.repository.layout import DUPLICATE_REASON, ModelDirectory, scan
from tis.settings import ServerSettings
from tis.supervisor.machine import Machine, backend_uses_gpu, invented_machine, this_machine
from tis.supervisor.placement import Placement

_HEADINGS: Final = ("MODEL", "VERSION", "INSTANCE", "KIND", "GPU", "CORES", "MEMORY", "THREADS")
_MOST: Final = 4096


class Row(msgspec.Struct, frozen=True):
    """One instance."""

    model: str
    version: int
    instance: str
    kind: str
    #: Its number among the server's GPUs; None for an instance that is not bound to one.
    gpu: int | None
    #: What CUDA_VISIBLE_DEVICES says to it.
    cuda_visible_devices: str
    #: The cores that it is pinned to; empty for all.
    cores: str
    #: The NUMA node that its memory comes from; None for any.
    memory_node: int | None
    threads: int


@dataclass
class Plan:
    """Rows in the order in which models are loaded, and what kept others from having any."""

    rows: list[Row] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def placement(argv: Sequence[str]) -> int:
    """Print the table; 1 where a model cannot be placed."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    missing = [str(path) for path in arguments.repositories if not path.is_dir()]
    if missing:
        parser.exit(1, f"tis placement: no such directory: {', '.join(missing)}\n")
    try:
        policies = tuple(host_policy("host-policy", text) for text in arguments.host_policy)
    except ValueRefusedError as refusal:
        parser.exit(1, f"tis placement: {refusal}\n")
    machine = _machine(arguments).under(ServerSettings(host_policies=policies))
    plan = plan_of(arguments.repositories, machine, any_backend_on_gpu=arguments.gpus is not None)
    print(_as_json(plan) if arguments.json else _as_text(machine, plan), end="")
    for error in plan.errors:
        print(error, file=sys.stderr)
    return 1 if plan.errors else 0


def plan_of(repositories: Sequence[Path], machine: Machine, *, any_backend_on_gpu: bool = False) -> Plan:
    """Where the instances of all models would be, each model placed with those before it in place.

    Model files are not read, and nobody asks how much memory of a GPU is free.
    """
    plan = Plan()
    scanned = scan(repositories)
    placed: list[InstanceSpec] = []
    for name in sorted(scanned.duplicates):
        plan.errors.append(f"{name}: {DUPLICATE_REASON}")
    for name in sorted(scanned.models):
        try:
            _add(plan, scanned.models[name], machine, placed, any_backend_on_gpu=any_backend_on_gpu)
        except TisError as error:
            plan.errors.append(f"{name}: {error.message}")
    return plan


def _add(
    plan: Plan, directory: ModelDirectory, machine: Machine, placed: list[InstanceSpec], *, any_backend_on_gpu: bool
) -> None:
    definition = read_definition(directory)
    on_gpu = [each.device_id for each in placed if each.kind == "GPU"]
    surroundings = Surroundings(
        gpu_count=len(machine.gpus),
        backend_uses_gpu=any_backend_on_gpu or backend_uses_gpu(str(definition.config.backend)),
        gpu_rooms=tuple(GpuRoom(on_gpu.count(number)) for number in range(len(machine.gpus))),
    )
    try:
        config = with_placement(definition.config, surroundings)
    except TisError as error:
        raise definition.located(error) from None
    for version in definition.selection.versions:
        spec = model_spec(config, version=version, model_path=directory.path)
        plan.rows += [_row(spec.name, version, each) for each in machine.place(spec.instances)]
        placed += spec.instances


def _row(model: str, version: int, placed: Placement) -> Row:
    instance = placed.instance
    gpu = instance.device_id if instance.kind == "GPU" else None
    cores = "" if placed.cores is None else core_list(placed.cores)
    return Row(model, version, instance.name, instance.kind, gpu, placed.gpus, cores, placed.node, placed.threads)


def _machine(arguments: argparse.Namespace) -> Machine:
    if arguments.gpus is None and arguments.cores is None and arguments.numa is None:
        return this_machine()
    here = this_machine()
    cores = arguments.cores or here.cores
    return invented_machine(
        cores=cores,
        nodes=min(arguments.numa or 1, cores),
        gpus=len(here.gpus) if arguments.gpus is None else arguments.gpus,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tis placement",
        description="Shows which instance the server would run where: GPU, cores, memory and threads. Without the numbers of "
        "a machine, on this one.",
    )
    parser.add_argument("repositories", nargs="+", type=Path, metavar="REPO", help="a model repository")
    parser.add_argument("--gpus", type=_number(0), metavar="N", help="as on a machine with N GPUs")
    parser.add_argument("--cores", type=_number(1), metavar="N", help="as on a machine with N cores")
    parser.add_argument("--numa", type=_number(1), metavar="N", help="as on a machine with N NUMA nodes")
    parser.add_argument(
        "--host-policy",
        action="append",
        default=[],
        metavar="POLICY,SETTING=VALUE",
        help="as with this flag of the server",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    return parser


def _number(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= _MOST:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {_MOST}, got '{text}'")
        return int(text)

    return read


def _as_json(plan: Plan) -> str:
    document = {"instances": plan.rows, "errors": plan.errors}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _as_text(machine: Machine, plan: Plan) -> str:
    nodes = "; ".join(f"{node}: {core_list(cores & machine.allowed)}" for node, cores in machine.nodes.items())
    lines = [
        f"cores       {core_list(machine.allowed)}"
        + (f", time for {machine.cores} of them" if machine.cores < len(machine.allowed) else ""),
        f"NUMA nodes  {nodes}",
        f"GPUs        {', '.join(_gpu(machine, number) for number in range(len(machine.gpus))) or 'none'}",
        "",
    ]
    rows = [_HEADINGS, *(_cells(row) for row in plan.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _gpu(machine: Machine, number: int) -> str:
    node, name = machine.node_of_gpu(number), machine.gpus[number]
    notes = [] if name == str(number) else [name]
    notes += [f"node {node}"] if node is not None and machine.has_several_nodes else []
    return f"{number}" + (f" ({', '.join(notes)})" if notes else "")


def _cells(row: Row) -> tuple[str, ...]:
    gpu = "all" if row.kind == "MODEL" and row.cuda_visible_devices else "-" if row.gpu is None else str(row.gpu)
    memory = "any" if row.memory_node is None else f"node {row.memory_node}"
    return row.model, str(row.version), row.instance, row.kind, gpu, row.cores or "all", memory, str(row.threads)
