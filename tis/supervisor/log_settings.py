"""The log settings of the whole server while it runs: clients may change them, every process follows."""

from collections.abc import Callable
from typing import get_args

import msgspec

from tis.contracts import messages as m
from tis.errors import invalid, unsupported
from tis.log import change, get_logger
from tis.settings import LogFormat, LogSettings, ServerSettings

_log = get_logger(__name__)


class LogKeeper:
    """What is logged now, and the call that changes it."""

    def __init__(self, settings: LogSettings, broadcast: Callable[[m.Message], None]) -> None:
        self.settings = settings
        self._broadcast = broadcast

    def change(self, call: m.ChangeLog) -> None:
        """Put a change into force everywhere.

        Raises:
            TisError: the change is not one of those that may be made while the server runs.
        """
        if "file" in call.changes:
            raise unsupported("log file location can not be updated through network protocol")
        try:
            self.settings = msgspec.convert(msgspec.to_builtins(self.settings) | call.changes, LogSettings)
        except msgspec.ValidationError as error:
            formats = " or ".join(get_args(LogFormat))
            raise invalid(f"invalid log settings: {error}; log_format is {formats}") from None
        change(self.settings)
        _log.debug("a client has changed the log settings: %s", call.changes)
        self._broadcast(m.LogChanged(self.settings))

    def reopen(self) -> None:
        """Everybody opens the log file anew, by the same settings. A file that cannot be opened leaves the one before."""
        try:
            change(self.settings)
        except OSError as error:
            _log.error("the log file '%s' cannot be opened anew: %s", self.settings.file, error.strerror or error)
            return
        self._broadcast(m.LogChanged(self.settings))

    def merged(self, settings: ServerSettings) -> ServerSettings:
        """The server's settings with the log settings of now, for a process that starts."""
        now = self.settings
        return msgspec.structs.replace(
            settings,
            log_verbose=now.verbose,
            log_info=now.info,
            log_warning=now.warning,
            log_error=now.error,
            log_format=now.format,
        )
