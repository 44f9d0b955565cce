"""`load_model`, `unload_model` and `is_model_ready`: a model that asks the server about models, in explicit mode."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tis.contracts import messages as m
from tis.contracts.sent_files import FilesRefusedError, remove_files, write_files
from tis.contracts.versions import parse_version
from tis.errors import TisError
from tis_workers.python_api import serving
from tis_workers.python_api.errors import TritonModelException, fits

_FILE: Final = "file:"


def load_model(model_name: str, config: str = "", files: Any = None) -> None:
    """Load a model, or load it anew where it has changed, and wait for it.

    Args:
        model_name: its name.
        config: JSON that replaces the config file; empty for none.
        files: content (bytes) by `file:` and path: these are the model's directory then, and `config` is needed.

    Raises:
        TritonModelException: it cannot be loaded, clients may not do so here, or this is not `execute`.
    """
    if not (fits(model_name, str) and fits(config, str)):
        raise TypeError(
            f"load_model takes a model name (str), a config (str) and files; got {model_name!r}, {config!r}"
        )
    contents = _contents(model_name, files)
    caller = serving.caller()
    if contents and not config:
        raise _failed("load model", _poll_failed(model_name))
    folder: Path | None = None
    if contents:
        try:
            folder = write_files(caller.control_calls.runtime_dir, contents)
        except (FilesRefusedError, OSError):
            raise _failed("load model", _poll_failed(model_name)) from None
    where = "" if folder is None else str(folder)
    try:
        caller.control_calls.ask(lambda call_id, peer: m.RepositoryLoad(call_id, peer, model_name, config, where))
    except TisError as error:
        raise _failed("load model", error.message) from None
    except BaseException:
        if folder is not None:
            remove_files(folder)
        raise


def unload_model(model_name: str, unload_dependents: bool = False) -> None:
    """Unload a model; a name that nobody knows is no error.

    Args:
        model_name: its name.
        unload_dependents: also the models of an ensemble's steps that are there for it alone.

    Raises:
        TritonModelException: clients may not do so here, or this is not `execute`.
    """
    if not (fits(model_name, str) and fits(unload_dependents, bool)):
        raise TypeError(f"unload_model takes a model name (str) and a bool; got {model_name!r}, {unload_dependents!r}")
    calls = serving.caller().control_calls
    try:
        calls.ask(lambda call_id, peer: m.RepositoryUnload(call_id, peer, model_name, unload_dependents))
    except TisError as error:
        raise _failed("unload model", error.message) from None


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Whether a version of a model takes requests; any version where none is given.

    Raises:
        TritonModelException: the version is none, or this is not `execute`.
    """
    if not (fits(model_name, str) and fits(model_version, str)):
        raise TypeError(f"is_model_ready takes a model name and a version (str); got {model_name!r}, {model_version!r}")
    caller = serving.caller()
    try:
        version = parse_version(model_version)
        with caller.lock:
            return caller.is_ready(model_name, -1 if version is None else version)
    except TisError as error:
        raise _failed("check model readiness", error.message) from None


def _failed(what: str, text: str) -> TritonModelException:
    return TritonModelException(
        f"Failed to {what}: Failed to process the request for model '{serving.instance_name()}', message: {text}"
    )


def _poll_failed(model: str) -> str:
    return f"failed to load '{model}', failed to poll from model repository"


def _contents(model: str, files: Any) -> Mapping[str, bytes]:
    if files is None:
        return {}
    if not isinstance(files, dict):
        raise TritonModelException(
            f"failed to load model '{model}', files should be a dictionary of file paths and file contents"
        )
    for path, content in files.items():
        if not isinstance(path, str):
            raise TypeError(f"paths of files are str; got {path!r}")
        if not isinstance(content, bytes):
            raise TypeError(f"Object of type '{type(content).__name__}' is not an instance of 'bytes'")
    return {path.removeprefix(_FILE): content for path, content in files.items()}
