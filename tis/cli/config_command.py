"""`tis config`: the completed config of a model, from its directory or from a running server, in any form."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tis.cli.local_bench import LocalBench, with_bench_arguments
from tis.cli.server_client import DEFAULT_URL, ServerClient, ServerError, with_connection_arguments
from tis.config.completion import needs_completion
from tis.config.json_form import from_document
from tis.config.proto import Message
from tis.config.resolve import with_placement
from tis.config.source import read_config
from tis.config.writing import FORMATS, written
from tis.errors import TisError
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.inspection import completed_by_file
from tis.repository.layout import model_directory
from tis.repository.versions import require_versions


def config(argv: Sequence[str]) -> int:
    """Print the config; 1 where it cannot be had."""
    arguments = _arguments(argv)
    try:
        message = _config(arguments)
        text = written(message, arguments.format, defaults=not arguments.as_written)
    except TisError as error:
        print(f"tis config: {error.message}", file=sys.stderr)
        return 1
    except ServerError as error:
        hint = "" if arguments.url else f"; '{arguments.model}' is no directory here, so a server was asked for it"
        print(f"tis config: {error}{hint}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tis config",
        description="Shows the config of a model as the server completes it, or turns a config into another form.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL_DIR|CONFIG_FILE|MODEL",
        help="a model's directory, a config file, or the name of a model of a running server",
    )
    parser.add_argument("--format", choices=FORMATS, default="pbtxt", help="the form to print; pbtxt where not given")
    parser.add_argument("--as-written", action="store_true", help="only what the file says, nothing completed")
    parser.add_argument("--load", action="store_true", help="read the model file to complete the config")
    parser.add_argument("--version", type=int, default=0, metavar="N", help="the version; by default the latest")
    with_bench_arguments(parser)
    parser.add_argument("--disable-auto-complete-config", action="store_true", help="as with this flag of the server")
    parser.add_argument("--model-config-name", default="", metavar="NAME", help="as with this flag of the server")
    with_connection_arguments(parser)
    return parser.parse_args(argv)


def _config(arguments: argparse.Namespace) -> Message:
    path = Path(arguments.model)
    if arguments.url or not path.exists():
        return _of_server(arguments)
    if path.is_file():
        return read_config(path, missing_ok=False).config
    directory = model_directory(path.absolute(), arguments.model_config_name)
    if arguments.as_written:
        return read_config(directory.config_path, missing_ok=False).config
    complete = not arguments.disable_auto_complete_config
    definition = read_definition(directory, auto_complete=complete)
    return _completed(definition, arguments, LocalBench.of(arguments, auto_complete=complete))


def _completed(definition: ModelDefinition, arguments: argparse.Namespace, bench: LocalBench) -> Message:
    def report(error: TisError) -> None:
        raise definition.located(error)

    if bench.load is not None:
        version = arguments.version or require_versions(definition.name, definition.selection)[-1]
        return completed_by_file(definition, version, bench, bench.load, report)
    if bench.auto_complete and needs_completion(definition.config):
        print("inputs, outputs and batching are completed from the model file: --load reads it", file=sys.stderr)
    return with_placement(definition.config, bench.surroundings(definition.config), report)


def _of_server(arguments: argparse.Namespace) -> Message:
    client = ServerClient.of(arguments.url or DEFAULT_URL, arguments.header)
    document = client.model_config(arguments.model, arguments.version)
    try:
        return from_document(document)
    except ValueError as error:
        raise ServerError(f"{client.url} gave a config that cannot be read: {error}") from None
