"""The clock of connections: pings to silent clients, and the end of those that are too old, by Triton's flags."""

import asyncio
import random
from typing import TYPE_CHECKING, Final

from tis.settings import ServerSettings
from tis_frontend.grpc.native.pings import Pings
from tis_frontend.http2.frames import Error

if TYPE_CHECKING:
    from tis_frontend.grpc.native.session import Session

#: Ages differ by so much, so that clients that came together do not all come again together.
_JITTER: Final = 0.1
#: A client that has not answered by then begins calls although it has been told not to.
_DRAIN_S: Final = 20.0


class Times:
    """What the flags say."""

    def __init__(self, settings: ServerSettings) -> None:
        self.keepalive_s: Final = settings.grpc_keepalive_time_ms / 1000
        self.keepalive_timeout_s: Final = settings.grpc_keepalive_timeout_ms / 1000
        self.may_be_idle: Final = settings.grpc_keepalive_permit_without_calls
        self.most_pings: Final = settings.grpc_http2_max_pings_without_data
        self.age_s: Final = settings.grpc_max_connection_age_ms / 1000
        self.grace_s: Final = settings.grpc_max_connection_age_grace_ms / 1000
        self._interval_s = settings.grpc_http2_min_recv_ping_interval_without_data_ms / 1000
        self._most_strikes = settings.grpc_http2_max_ping_strikes

    def pings(self) -> Pings:
        """The strikes of a new connection."""
        return Pings(self._interval_s, self._most_strikes, may_be_idle=self.may_be_idle)

    def of(self, session: "Session") -> "SessionTimes":
        """The timers of a new connection."""
        return SessionTimes(self, session)


class SessionTimes:
    """The timers of one connection."""

    def __init__(self, times: Times, session: "Session") -> None:
        self._times = times
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._heard_s = 0.0
        self._asked_s: float | None = None
        self._sent = 0
        self._pings_without_data = 0

    def begin(self) -> None:
        """The client has connected."""
        times = self._times
        self._heard_s = self._loop.time()
        if times.keepalive_s:
            self._timers.append(self._loop.call_later(times.keepalive_s, self._look))
        if times.age_s:
            age_s = times.age_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
            self._timers.append(self._loop.call_later(age_s, self._age))

    def end(self) -> None:
        """The client has gone."""
        for timer in self._timers:
            timer.cancel()

    def heard(self, now_s: float) -> None:
        """The client has sent something."""
        self._heard_s = now_s
        self._asked_s = None

    def ponged(self) -> None:
        """The client has answered a ping; `heard` has noted it."""

    def _look(self) -> None:
        """Has the client been silent for too long?"""
        times, now_s = self._times, self._loop.time()
        delay_s = times.keepalive_s
        if self._asked_s is not None:
            self._session.connection.close(Error.NO_ERROR, "keepalive_timeout")
            self._session.flush()
            return
        silent_s = now_s - self._heard_s
        if silent_s < times.keepalive_s:
            delay_s = times.keepalive_s - silent_s
        elif self._may_ping():
            self._asked_s = now_s
            self._session.connection.ping()
            self._session.flush()
            delay_s = times.keepalive_timeout_s
        self._timers[0] = self._loop.call_later(delay_s, self._look)

    def _may_ping(self) -> bool:
        """GRPC pings idle clients only if told to, and only so many times without sending data."""
        connection = self._session.connection
        if not connection.streams and not self._times.may_be_idle:
            return False
        if connection.sending.data_frames != self._sent:
            self._sent = connection.sending.data_frames
            self._pings_without_data = 0
        self._pings_without_data += 1
        return not self._times.most_pings or self._pings_without_data <= self._times.most_pings

    def _age(self) -> None:
        self._session.drain()
        self._timers.append(self._loop.call_later(_DRAIN_S, self._session.refuse_calls))
        grace_s = self._times.grace_s
        if grace_s:
            self._timers.append(self._loop.call_later(grace_s, self._session.close))
