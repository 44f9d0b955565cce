"""`tis models`: what the models of a running server are in, as a table; or the instances of one of them."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

import msgspec

from tis.cli.instance_rows import instance_rows, instance_table
from tis.cli.model_rows import Key, ModelRow, model_rows, pending_requests, table
from tis.cli.server_client import DEFAULT_URL, ServerClient, ServerError, with_connection_arguments

_METRICS_PORT = 8002
_CLEAR = "\x1b[H\x1b[2J"


def models(argv: Sequence[str]) -> int:
    """Print the table, once or again and again; 1 where no server answers."""
    arguments = _arguments(argv)
    try:
        server = ServerClient.of(arguments.url or DEFAULT_URL, arguments.header)
        metrics = ServerClient.of(arguments.metrics_url or f"{_host(server)}:{_METRICS_PORT}", (), _METRICS_PORT)
        if arguments.model:
            instances = instance_rows(server, arguments.model, arguments.instances, arguments.group)
            print(msgspec.json.encode(instances).decode() if arguments.json else instance_table(instances))
            return 0
        if arguments.watch is None:
            print(_shown(rows_of(server, metrics), as_json=arguments.json))
            return 0
        _watch(server, metrics, arguments.watch, as_json=arguments.json)
    except ServerError as error:
        print(f"tis models: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    return 0


def rows_of(server: ServerClient, metrics: ServerClient) -> list[ModelRow]:
    """A row for each model version.

    Raises:
        ServerError: the server does not answer. Metrics that do not answer only leave their column empty.
    """
    index = server.index()
    configs: dict[Key, dict[str, Any]] = {}
    for line in index:
        if line.get("state") == "READY":
            key = (str(line["name"]), str(line.get("version", "")))
            try:
                configs[key] = server.model_config(*key)
            except ServerError:
                # It went while we asked; the index was true then.
                continue
    try:
        pending = pending_requests(metrics.text("/metrics"))
    except ServerError:
        pending = {}
    return model_rows(index, server.statistics(), configs, pending)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tis models", description="Shows the models of a running server.")
    with_connection_arguments(parser)
    parser.add_argument(
        "--metrics-url", metavar="HOST:PORT", help=f"where its metrics are; port {_METRICS_PORT} where not given"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="print it again every so many seconds")
    parser.add_argument("model", nargs="?", default="", metavar="MODEL", help="show the instances of this model")
    parser.add_argument(
        "--instances", type=int, metavar="N", help="give it so many, until it is loaded anew; no request fails"
    )
    parser.add_argument("--group", default="", help="of which instance group, where it has several: name or position")
    arguments = parser.parse_args(argv)
    if not arguments.model and (arguments.instances is not None or arguments.group):
        parser.error("--instances and --group need the name of a model")
    if arguments.model and arguments.watch is not None:
        parser.error("--watch is for all models")
    return arguments


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _host(server: ServerClient) -> str:
    return f"[{server.host}]" if ":" in server.host else server.host


def _watch(server: ServerClient, metrics: ServerClient, every_s: float, *, as_json: bool) -> None:
    """Until Ctrl+C. A server that is away for a while is told of, and waited for."""
    clear = _CLEAR if sys.stdout.isatty() else ""
    interrupted = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Not by an exception, which is lost where it comes up inside of a destructor. A second one does not wait.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupted.set()

    signal.signal(signal.SIGINT, interrupt)
    while not interrupted.is_set():
        try:
            shown = _shown(rows_of(server, metrics), as_json=as_json)
        except ServerError as error:
            shown = msgspec.json.encode({"error": str(error)}).decode() if as_json else f"tis models: {error}"
        print(f"{clear}{shown}", flush=True)
        if not clear and not as_json:
            print(flush=True)
        interrupted.wait(every_s)


def _shown(rows: list[ModelRow], *, as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(rows).decode()
    return table(rows) if rows else "the server has no models"
