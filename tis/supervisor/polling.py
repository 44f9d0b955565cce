"""Poll mode: the repositories are looked at every while, and what has changed there is loaded, loaded anew or let go.

What counts as a change, and when a copy in progress is over, is `tis.repository.watch`'s to say. Each model is acted on by
itself: one that cannot be loaded is told of once, goes on serving what it served, and holds nobody up.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from tis.errors import TisError, unavailable
from tis.log import get_logger
from tis.repository.layout import DUPLICATE_REASON
from tis.repository.watch import Watch
from tis.settings import ServerSettings
from tis.supervisor.loader import Loader, LoadOrder
from tis.supervisor.models import Models

#: How long a model's files must have been still.
_QUIET_S: Final = 1.0

_log = get_logger(__name__)


class Polling:
    """Keeps the models as the repositories have them."""

    def __init__(
        self,
        settings: ServerSettings,
        loader: Loader,
        models: Models,
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._interval_s: Final = settings.repository_poll_s
        self._enabled: Final = settings.model_control_mode == "poll"
        self._loader: Final = loader
        self._models: Final = models
        self._later: Final = later
        repositories = loader.repositories
        self._watch = Watch(repositories, min(_QUIET_S, self._interval_s or _QUIET_S), config_name=loader.config_name)
        self._told: set[str] = set()

    def begin(self) -> None:
        """Everything has begun to load as it is now: look for changes from now on."""
        if not self._enabled:
            return
        # What is there has been acted on, still or not: a copy in progress shows as a change later.
        self._watch.accept()
        if self._interval_s:
            self._later(self._interval_s, self._tick)

    def rescan(self) -> None:
        """Look now, and not only when it is time."""
        if self._enabled:
            self.look()

    def _tick(self) -> None:
        self._later(self._interval_s, self._tick)
        self.look()

    def look(self) -> None:
        """Act on what has changed."""
        changes = self._watch.look(time.time())
        for where, why in changes.unreadable.items():
            if where not in self._told:
                _log.error("failed to poll '%s': %s", where, why)
        self._told = set(changes.unreadable)
        for name in changes.removed:
            self._watch.acted(name, None)
            self._loader.unloader.unload(name, partial(self._models.forget_when_gone, name))
        for name in changes.duplicates:
            model = self._models.get(name)
            if model is None or model.unread != DUPLICATE_REASON:
                self._watch.acted(name, None)
                self._loader.unloader.unload(name, partial(self._duplicated, name))
        with self._models.held_back():
            for name, found in {**changes.added, **changes.changed}.items():
                self._watch.acted(name, found.snapshot)
                self._loader.load(LoadOrder(name, force=True), _ended)
        if changes.unsettled:
            self._later(_QUIET_S, self.look)

    def _duplicated(self, name: str) -> None:
        self._loader.refuse(name, unavailable(DUPLICATE_REASON), DUPLICATE_REASON)


def _ended(error: TisError | None) -> None:
    """What went wrong has been logged where it did."""
