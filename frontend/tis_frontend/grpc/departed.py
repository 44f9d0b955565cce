"""Clients of gRPC that go while they are being answered: for grpcio an error with a traceback, for a server nothing."""

import logging
from typing import Final

#: The logger of grpcio's core, and what it raises where an answer finds no client any more. grpcio leaves that out only
#: where it has noticed the departure before the answer was given.
_LOGGER: Final = "grpc._cython.cygrpc"
_ERROR: Final = "ExecuteBatchError"


class WithoutDeparted(logging.Filter):
    """Keeps what is nobody's failure out of the log; any client could fill it with that."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record of a client that has gone."""
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__name__ != _ERROR


def keep_departed_out_of_log() -> None:
    """From now on, in this process; more than once does nothing more."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(each, WithoutDeparted) for each in logger.filters):
        logger.addFilter(WithoutDeparted())
