"""Which backend a config means: `name`, `platform`, `backend` and `default_model_filename` filled in where they are absent.

Triton's rule is AutoCompleteBackendFields in its core. Whether platform and backend fit each other, tis.config.check says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tis.config.backends import (
    BACKEND_OF_PLATFORM,
    ENSEMBLE_PLATFORM,
    KNOWN_MODEL_FILES,
    KnownModelFile,
)
from tis.config.proto import Message, copy_of
from tis.errors import internal, invalid

#: A PyTorch model run by the Python runtime has no default file.
_PYTHON_RUNTIME: Final = "model.py"


def with_backend(config: Message, model_name: str, files: Mapping[str, bool]) -> Message:
    """A copy of the config with name, platform, backend and default model filename filled in.

    Args:
        config: the config as read; fields that are set stay as they are.
        model_name: the model's directory name, used as `name` when there is none, and as the last hint (`x.<backend>`).
        files: entries of the first version directory, each with "is a directory"; empty where there is no version.

    Raises:
        TisError: INVALID_ARG when neither config, files nor name tell the backend.
    """
    config = copy_of(config)
    if not config.name:
        config.name = model_name
    if config.platform == ENSEMBLE_PLATFORM:
        return config
    if not config.backend:
        _fill_backend(config, model_name, files)
    known = _known_file_of(config, files)
    if known is not None:
        if not config.platform:
            config.platform = known.platform
        runs_python = config.backend == "pytorch" and config.runtime == _PYTHON_RUNTIME
        if not config.default_model_filename and not runs_python:
            config.default_model_filename = known.name_in(files) or known.filename
    return config


def first_version_files(model_dir: Path) -> dict[str, bool]:
    """Entries of the first version directory in lexical order, each with "is a directory".

    Triton takes the first subdirectory whatever its name; here only names that are versions count, so that a stray hidden
    directory does not hide the model. The order stays lexical: `10` comes before `2`.

    Raises:
        TisError: INTERNAL when a directory cannot be listed.
    """
    try:
        versions = sorted(e.name for e in model_dir.iterdir() if e.name.isascii() and e.name.isdigit() and e.is_dir())
        if not versions:
            return {}
        return {entry.name: entry.is_dir() for entry in (model_dir / versions[0]).iterdir()}
    except OSError as error:
        raise internal(f"failed to open directory {error.filename or model_dir}: {error.strerror}") from error


def _fill_backend(config: Message, model_name: str, files: Mapping[str, bool]) -> None:
    """Sets the backend from the platform, else the default filename, else the files, else the model's name."""
    if config.platform or config.default_model_filename:
        file = config.default_model_filename
        named = (known.backend for known in KNOWN_MODEL_FILES if file in (known.filename, *known.others))
        config.backend = BACKEND_OF_PLATFORM.get(config.platform) or next(named, "")
        return
    for known in KNOWN_MODEL_FILES:
        if known.name_in(files):
            config.backend = known.backend
            return
    _stem, dot, suffix = model_name.partition(".")
    if not dot:
        raise invalid(
            f"Invalid model name: Could not determine backend for model '{model_name}' with no backend in model "
            "configuration. Expected model name of the form 'model.<backend_name>'."
        )
    config.backend = suffix
    config.default_model_filename = f"model.{suffix}"


def _known_file_of(config: Message, files: Mapping[str, bool]) -> KnownModelFile | None:
    """The row that platform and default filename come from: the backend's own, where it has several the best fit."""
    rows = [known for known in KNOWN_MODEL_FILES if known.backend == config.backend]
    if config.platform:
        rows = [known for known in rows if known.platform in ("", config.platform)]
    if len(rows) < 2:
        return rows[0] if rows else None
    named = [known for known in rows if known.filename == config.default_model_filename]
    found = [known for known in rows if not config.default_model_filename and known.name_in(files)]
    return next(iter(named or found[-1:]), None)
