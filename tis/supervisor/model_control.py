"""Clients load and unload models: their calls, and when each is answered."""

from pathlib import Path

from tis.contracts import messages as m
from tis.errors import TisError, unavailable
from tis.settings import ServerSettings
from tis.supervisor.calls import Calls
from tis.supervisor.loader import Loader
from tis.supervisor.meant import load_meant, unload_meant
from tis.supervisor.reading import LoadOrder

_NOT_EXPLICIT = "explicit model load / unload is not allowed if polling is enabled"


def serve_model_control(calls: Calls, loader: Loader, settings: ServerSettings) -> None:
    """Let clients load and unload models, in explicit mode."""

    def check() -> None:
        if settings.model_control_mode != "explicit":
            raise unavailable(_NOT_EXPLICIT)

    def load(call: m.RepositoryLoad) -> bool:
        check()

        def done(error: TisError | None) -> None:
            calls.reply(call.peer, call.call_id, error)

        folder = Path(call.folder) if call.folder else None
        load_meant(LoadOrder(call.model, config=call.config, folder=folder), loader, done)
        return True

    def unload(call: m.RepositoryUnload) -> bool:
        check()
        unload_meant(call.model, loader, lambda: calls.reply(call.peer, call.call_id, None), dependents=call.dependents)
        return True

    calls.handle(m.RepositoryLoad, load)
    calls.handle(m.RepositoryUnload, unload)
