"""One module a backend, found by name and imported only in a worker that needs it.

A module here named like the config's `backend` has a function `load(context) -> Backend`; nothing else registers it.
"""

import importlib
import importlib.util

from tis.errors import unsupported
from tis_workers.backends.base import Backend, LoadContext


def load_backend(context: LoadContext) -> Backend:
    """Load a model with the backend that its specification names.

    Raises:
        TisError: there is no such backend, its framework is not installed, or the model cannot be loaded.
    """
    name = "python" if context.spec.runs_python else context.spec.backend
    module = f"{__name__}.{name}_backend"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        raise unsupported(
            f"unable to find backend library for backend '{name}', try specifying runtime on the model configuration."
        )
    backend: Backend = importlib.import_module(module).load(context)
    return backend
