"""Loading a model into this process: the server's steps from the directory to a model that is ready, without the server."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from tis.config.backends import ENSEMBLE_PLATFORM
from tis.config.proto import Message
from tis.config.python_models import config_text, proposed_config
from tis.config.resolve import Surroundings
from tis.config.spec import model_spec
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal, invalid, not_found, unsupported
from tis.functions import DeclarationError
from tis.functions.publish import publish
from tis.repository.backend_library import BackendLibrary, find_backend
from tis.repository.definition import ModelDefinition, read_definition
from tis.repository.inspection import Loaded, completed_by_file
from tis.repository.layout import model_directory
from tis.repository.versions import require_versions
from tis.supervisor.machine import Machine, backend_uses_gpu, this_machine
from tis.testing.answers import ModelError
from tis.testing.imports import ModelPaths, put_back
from tis.testing.model import LoadedModel
from tis_workers.backends import load_backend
from tis_workers.backends.base import Backend, LoadContext
from tis_workers.states import initial_states

_T = TypeVar("_T")


def load_model(path: str | Path, *, name: str = "", version: int = 0, as_worker: bool = False) -> LoadedModel:
    """Load the first instance of a model into this process; `finalize` it, or use it as a context manager.

    Args:
        path: the model's directory, which holds its config and versions; or a Python file that declares functions.
        name: which of several functions of a file.
        version: which one; the latest of those that the server would serve for 0.
        as_worker: this process is there for the model only: it gets the environment variables of a worker, such as
            those that choose the GPU. In a process that has more to do (a test), they stay as they are.

    Raises:
        ModelError: why the server would not serve the model; a model's own exception is its `__cause__`.
    """
    with ExitStack() as undo:
        try:
            folder = (
                _published(Path(path).absolute(), name, undo) if Path(path).suffix == ".py" else Path(path).absolute()
            )
            model = _Loading(folder, version, as_worker).run(undo)
        except TisError as error:
            raise ModelError(error.code, error.message) from None
        model.on_close(undo.pop_all().close)
        return model


def _published(file: Path, name: str, undo: ExitStack) -> Path:
    """The directory of a model that is a function of a file, made for now as `tis serve` makes it."""
    folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tis-test-")))
    undo.callback(put_back, list(sys.path), set(sys.modules), file)
    try:
        names = publish(file, folder)
    except (DeclarationError, OSError) as error:
        raise invalid(str(error)) from error
    if name not in names and (name or len(names) > 1):
        raise invalid(
            f"{file} declares {', '.join(names)}; say which of them by its name" + (f", not '{name}'" if name else "")
        )
    return folder / (name or names[0])


class _Loading:
    """One load."""

    def __init__(self, path: Path, version: int, as_worker: bool) -> None:
        if not path.is_dir():
            raise not_found(f"there is no model's directory '{path}'")
        self._definition: Final[ModelDefinition] = read_definition(model_directory(path))
        self._version = version
        self._as_worker = as_worker
        self._machine: Final[Machine] = this_machine()
        self._backend: Backend | None = None

    def run(self, undo: ExitStack) -> LoadedModel:
        definition = self._definition
        name = definition.name
        if definition.config.platform == ENSEMBLE_PLATFORM:
            raise unsupported(
                f"model '{name}' is an ensemble, which the scheduler of a server runs; test the models of its steps one by "
                "one, or the ensemble in a server"
            )
        version = self._version or require_versions(name, definition.selection)[-1]
        began_s = time.monotonic()
        paths = ModelPaths(definition.path)
        undo.callback(paths.close)
        config = completed_by_file(definition, version, self, self.load, self._report)
        spec = model_spec(config, version=version, model_path=definition.path)
        backend = self._backend
        if backend is None:
            raise internal(f"model '{name}' was not loaded")
        initial_states(spec)
        backend.config_json = config_text(spec)
        _own(lambda: backend.serve(spec))
        paths.imported()
        return LoadedModel(backend, spec, time.monotonic() - began_s)

    # ---- what the repository's code asks for -----------------------------------------------------------------------

    def library(self, config: Message, /) -> BackendLibrary:
        """Only what comes with the server: there is no server that could have been told of other directories."""
        return find_backend(config, Path())

    def surroundings(self, config: Message, /) -> Surroundings:
        """This machine."""
        uses_gpu = backend_uses_gpu(str(config.backend))
        return Surroundings(gpu_count=len(self._machine.gpus), backend_uses_gpu=uses_gpu)

    def load(self, spec: ModelSpec, complete: bool) -> Loaded:
        """Load the model file, here."""
        if not spec.instances:
            raise internal(f"model '{spec.name}' has no instances to load")
        instance = spec.instances[0]
        threads = self._machine.threads_for(1)
        if self._as_worker:
            os.environ.update(self._machine.environment(instance, threads))
        else:
            # It writes usage data below the home directory.
            os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        context = LoadContext(spec, instance, threads, complete, config_text(spec))
        backend = self._backend = _own(lambda: load_backend(context))
        return Loaded(backend.signature(), proposed_config(spec.name, backend.proposed_config()))

    def _report(self, error: TisError) -> None:
        raise self._definition.located(error)


def _own(call: Callable[[], _T]) -> _T:
    """What runs a model's own code.

    Raises:
        ModelError: whatever that has raised; it is the cause.
    """
    try:
        return call()
    except TisError as error:
        raise ModelError(error.code, error.message) from error.__cause__
    except Exception as error:
        raise ModelError(Code.INTERNAL, f"{type(error).__name__}: {error}") from error
