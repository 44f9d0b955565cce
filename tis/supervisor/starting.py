"""The order of a start: all models have settled, everybody acts by the table, all processes are up; then the server serves.

Or it does not, where a model failed and the operator wants no server then.
"""

from collections.abc import Callable
from typing import Protocol

from tis.errors import TisError
from tis.log import get_logger, log_block
from tis.supervisor.models import Models
from tis.supervisor.processes import Processes
from tis.supervisor.publication import Publication

_log = get_logger(__name__)


class Starter(Protocol):
    """What a start asks for."""

    @property
    def stop_has_begun(self) -> bool:
        """Whether the server is on its way out already."""

    def state_changed(self) -> None:
        """The server's readiness may be another one."""

    def give_up(self, failure: TisError) -> None:
        """Stop, and end with this error."""


class Starting:
    """From the first process to the announcement."""

    def __init__(
        self,
        starter: Starter,
        processes: Processes,
        models: Models,
        publication: Publication,
        started: Callable[[], None],
        failure: Callable[[], TisError | None] = lambda: None,
    ) -> None:
        """`failure` says why there should be no server, once all models have settled."""
        self._starter = starter
        self._processes = processes
        self._models = models
        self._publication = publication
        self._started = started
        self._failure = failure
        self._announced = False
        #: All models have settled and everybody has heard so.
        self.tables_hold = False

    def models_settled(self) -> None:
        """No model is being loaded any more."""
        self._publication.when_everywhere(self._table_holds)

    def _table_holds(self) -> None:
        """Everybody acts by the table."""
        self.tables_hold = self.tables_hold or self._models.settled
        self._starter.state_changed()
        self.look()

    def look(self) -> None:
        """Say once that the server serves; or give up."""
        if self._announced or self._starter.stop_has_begun or not self.tables_hold or not self._processes.vital_are_up:
            return
        self._announced = True
        log_block(_log, "", self._models.log_table())
        failure = self._failure()
        if failure is not None:
            self._starter.give_up(failure)
            return
        self._started()
