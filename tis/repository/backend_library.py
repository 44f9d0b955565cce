"""What serves the models of a backend: a module of this server, or one Python file in the backend's directory.

The rules and texts are those of Triton 2.51, asked live: `runtime` of a config names the file; where it does not, a library
of the backend's name comes first (here: what comes with the server), then `model.py` in `<backend directory>/<backend>`. A
model's own directory is searched for libraries only. `pb_exec_env_<runtime>.tar.gz` beside the file is the environment of
its models, where their configs name none.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tis.config.backends import ENSEMBLE_PLATFORM
from tis.config.proto import Message
from tis.errors import TisError, invalid, unsupported

_PYTHON_FILE: Final = "model.py"
#: Backends that come with the server in Triton's container and do themselves what a Python file of theirs does there.
_SERVES_PYTHON: Final = ("pytorch",)


@dataclass(frozen=True)
class BackendLibrary:
    """Where a backend was looked for, and what was found."""

    backend: str
    #: `runtime` of the config.
    runtime: str
    #: `<backend directory>/<backend>`.
    folder: Path
    comes_with_server: bool
    #: The Python file that serves the backend's models; None for a backend that comes with the server, or that is not there.
    file: Path | None = None
    #: The environment of its models, as an archive.
    environment: Path | None = None

    @property
    def mark(self) -> str:
        """What tells the Python file from another one in its place; empty for a backend that comes with the server."""
        if self.file is None:
            return ""
        state = self.file.stat()
        return f"{self.file}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}"

    def check(self, model: str, model_path: Path, version: int) -> None:
        """Fails where nothing was found.

        Raises:
            TisError: INVALID_ARG in Triton's words; UNSUPPORTED for a library, which only Triton can load.
        """
        if self.file is not None or self.comes_with_server:
            return
        library = f"libtriton_{self.backend}.so"
        folders = (model_path / str(version), model_path, self.folder)
        for folder in folders:
            if self.runtime in ("", library) and (folder / library).is_file():
                raise _not_loadable(self.backend, folder / library)
        if not self.runtime:
            raise invalid(
                f"unable to find backend library for backend '{self.backend}', try specifying runtime on the model "
                "configuration."
            )
        if self.runtime == _PYTHON_FILE:
            raise invalid(
                f"unable to find Python backend based backend library '{_PYTHON_FILE}' for model '{model}', searched: "
                f"'{self.folder / _PYTHON_FILE}'"
            )
        for folder in folders:
            if (folder / self.runtime).exists():
                raise _not_loadable(self.backend, folder / self.runtime)
        searched = "".join(f"'{folder}' " for folder in folders)
        raise invalid(f"unable to find backend library '{self.runtime}' for model '{model}', searched: {searched}")


def find_backend(config: Message, backend_directory: Path) -> BackendLibrary:
    """Looks for what serves a model."""
    backend, runtime = str(config.backend), str(config.runtime)
    folder = backend_directory / backend
    if config.platform == ENSEMBLE_PLATFORM:
        return BackendLibrary(backend, runtime, folder, comes_with_server=True)
    if runtime in ("", f"libtriton_{backend}.so") and comes_with_server(backend):
        return BackendLibrary(backend, runtime, folder, comes_with_server=True)
    file = folder / _PYTHON_FILE
    if backend in _SERVES_PYTHON and runtime == _PYTHON_FILE and not file.is_file():
        return BackendLibrary(backend, runtime, folder, comes_with_server=True)
    named = backend not in ("", ".", "..") and "/" not in backend
    if not named or runtime not in ("", _PYTHON_FILE) or not file.is_file():
        return BackendLibrary(backend, runtime, folder, comes_with_server=False)
    archive = folder / f"pb_exec_env_{_PYTHON_FILE}.tar.gz"
    environment = archive if archive.is_file() else None
    return BackendLibrary(backend, runtime, folder, False, file, environment)


@cache
def comes_with_server(backend: str) -> bool:
    """True where a worker would find the backend's module. It is not imported: frameworks are for workers."""
    package = importlib.util.find_spec("tis_workers")
    folders = (package.submodule_search_locations or []) if package else []
    return backend.isidentifier() and any(
        (Path(folder) / "backends" / f"{backend}_backend.py").is_file() for folder in folders
    )


def _not_loadable(backend: str, path: Path) -> TisError:
    return unsupported(
        f"backend '{backend}' is {path}, which is made for Triton's own process; this server loads the backends that come "
        f"with it, and backends in Python ({_PYTHON_FILE} in the backend's directory)"
    )
