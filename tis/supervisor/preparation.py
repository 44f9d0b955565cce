"""What must be there before the instances of a version start: the file of its backend and the Python that they run in."""

from collections.abc import Callable
from pathlib import Path

from tis.contracts.model_spec import ModelSpec
from tis.environments.interpreter import OWN, Interpreter
from tis.environments.wish import wish_of
from tis.errors import TisError, internal
from tis.repository.backend_library import find_backend
from tis.repository.definition import ModelDefinition
from tis.supervisor.version_host import VersionHost

#: Called with why it cannot be had, if it cannot.
Prepared = Callable[[TisError | None], None]


class Preparation:
    """The way to one version's interpreter."""

    def __init__(self, host: VersionHost, definition: ModelDefinition) -> None:
        self._host = host
        self._definition = definition
        #: Stop preparing; nothing is called any more.
        self.stop: Callable[[], None] = lambda: None
        #: What instances run in, once it is prepared.
        self.interpreter = OWN

    def check_library(self, version: int) -> str:
        """Looks for what serves the version; gives what tells that file from others.

        Raises:
            TisError: it is not there.
        """
        definition = self._definition
        library = find_backend(definition.config, Path(self._host.backend_directory))
        library.check(definition.name, definition.path, version)
        return library.mark

    def begin(self, spec: ModelSpec, prepared: Prepared) -> None:
        """Have the interpreter made that the model asks for, if it asks for one.

        Raises:
            TisError: it asks for what cannot be.
        """
        wish = wish_of(spec.name, spec.model_path, spec.parameters) if spec.runs_python else None
        if wish is None:
            prepared(None)
            return

        def made(interpreter: Interpreter | None, error: TisError | None) -> None:
            if interpreter is not None:
                self.interpreter = interpreter
                prepared(None)
            else:
                prepared(error or internal(f"there is no Python for model '{spec.name}'"))

        self.stop = self._host.environments.prepare(wish, made)
