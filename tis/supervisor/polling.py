"""Poll mode: the repositories are looked at every while, and what has changed there is loaded, loaded anew or let go.

What counts as a change, and when a copy in progress is over, is `tis.repository.watch`'s to say. Each model is acted on by
itself: one that cannot be loaded is told of once, goes on serving what it served, and holds nobody up. A thread looks, since
a repository may be on a share that is slow or gone; the loop acts on what it saw.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from tis.errors import unavailable
from tis.log import get_logger
from tis.repository.layout import DUPLICATE_REASON
from tis.repository.watch import Changes, Watch
from tis.settings import ServerSettings
from tis.supervisor.errands import Errands
from tis.supervisor.loader import Loader
from tis.supervisor.models import Models
from tis.supervisor.reading import LoadOrder

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
        errands: Errands,
    ) -> None:
        self._interval_s: Final = settings.repository_poll_s
        self._enabled: Final = settings.model_control_mode == "poll"
        self._loader: Final = loader
        self._models: Final = models
        self._later: Final = later
        self._errands: Final = errands
        quiet_s = min(_QUIET_S, self._interval_s or _QUIET_S)
        #: A thread's while it looks, else the loop's.
        self._watch = Watch(
            loader.reader.repositories,
            quiet_s,
            config_name=loader.reader.config_name,
            namespacing=settings.model_namespacing,
        )
        self._looks = False
        self._looks_again = False
        self._told: set[str] = set()

    def begin(self) -> None:
        """Everything is about to be loaded as it is now: look for changes from now on."""
        if not self._enabled:
            return
        # What is there counts as acted on, still or not: a copy in progress shows as a change later.
        self._watch.accept()
        if self._interval_s:
            self._later(self._interval_s, self._tick)

    def rescan(self) -> None:
        """Look now, and not only when it is time. What has changed before this call is seen."""
        if not self._enabled:
            return
        self._looks_again = self._looks
        self.look()

    def _tick(self) -> None:
        self._later(self._interval_s, self._tick)
        self.look()

    def look(self) -> None:
        """Have the repositories looked at, and act on what has changed. A look that has not ended yet is enough."""
        if self._looks:
            return
        self._looks = True
        self._errands.run(lambda: self._watch.look(time.time()), self._have_looked)

    def _have_looked(self, changes: Changes) -> None:
        self._looks = False
        self._act(changes)
        if self._looks_again:
            self._looks_again = False
            self.look()

    def _act(self, changes: Changes) -> None:
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
        found = {**changes.added, **changes.changed}
        for name, each in found.items():
            self._watch.acted(name, each.snapshot)
        self._loader.load_all([LoadOrder(name, force=True) for name in found])
        if changes.unsettled:
            self._later(_QUIET_S, self.look)

    def _duplicated(self, name: str) -> None:
        self._loader.refuse(name, unavailable(DUPLICATE_REASON), DUPLICATE_REASON)
