"""The settings as they are now: what the operator gave, the ports that were found free, and what clients changed since."""

from collections.abc import Callable

import msgspec

from tis.contracts import messages as m
from tis.settings import ServerSettings
from tis.supervisor.addresses import Port
from tis.supervisor.calls import Calls
from tis.supervisor.log_settings import LogKeeper
from tis.supervisor.trace_settings import TraceKeeper, given

Tell = Callable[[m.Message], None]


class LiveSettings:
    """What a process that starts is told; those that run hear of changes when they are made."""

    def __init__(
        self,
        settings: ServerSettings,
        http: Port | None,
        grpc: Port | None,
        everybody: Tell,
        frontends: Tell,
    ) -> None:
        self._settings = msgspec.structs.replace(
            settings,
            http_port=http.port if http else settings.http_port,
            grpc_port=grpc.port if grpc else settings.grpc_port,
        )
        self._log = LogKeeper(settings.log, everybody)
        self._trace = TraceKeeper(frontends, given(settings.trace_config))

    def serve(self, calls: Calls) -> None:
        """Answer the calls by which clients change settings."""
        calls.handle(m.ChangeLog, self._log.change)
        calls.handle(m.ChangeTrace, self._trace.change)
        calls.handle(m.Traces, self._trace.collect)

    def now(self) -> ServerSettings:
        """All settings but those of traces."""
        return self._log.merged(self._settings)

    def reopen_logs(self) -> None:
        """Open the files of logs anew, everywhere, since those before may have been moved away."""
        self._log.reopen()

    def close(self) -> None:
        """Complete the files of traces, at the end."""
        self._trace.close()

    def trace(self) -> m.TraceChanged:
        """All trace settings, for a frontend."""
        return self._trace.message()
