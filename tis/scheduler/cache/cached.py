"""A model version whose answers are cached: answers what is known at once, and has the rest run. Pure but for durations.

A request of which the cache knows nothing is passed on as one of the scheduler's own (`relaying.py`), so that its answer
comes by here and can be kept. It is looked up when it arrives, before any limit of the queue. Errors are never kept.
"""

from collections.abc import Iterable
from itertools import count
from typing import Final

import msgspec

from tis.contracts.messages import Failure, ModelMetrics, Reply
from tis.contracts.metrics import CANCELED
from tis.errors import Code, TisError
from tis.scheduler.cache.caching import Caching
from tis.scheduler.cache.interface import Entry, Later
from tis.scheduler.decisions import Answer, Ask, Decision
from tis.scheduler.queued import QueuedRequest, Refusal
from tis.scheduler.relaying import Relayed, Relaying
from tis.scheduler.scheduling import Scheduling

_CANCELLED_TEXT = "the request was cancelled"
#: Loads of model versions, so that what one has answered is never taken for another's answer.
_loads: Final = count(1)


class Cached(Relaying):
    """In front of the scheduler of a model version."""

    def __init__(self, inner: Scheduling, own_peer: int, caching: Caching) -> None:
        super().__init__(inner, own_peer)
        self._caching: Final = caching
        self._load: Final = next(_loads).to_bytes(8, "big") if caching.fd < 0 else b""
        #: Requests whose lookups have not ended, by number, and when each began.
        self._looking: dict[int, tuple[QueuedRequest, int]] = {}
        #: How long the lookups of the requests took that have been passed on, by the numbers of these.
        self._lookups_ns: dict[int, int] = {}

    # ---- requests --------------------------------------------------------------------------------------------------

    def add(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Take a request: a new one, one that must not be cached, or one of this scheduler's own."""
        if not request.infer.cache_key:
            return self._inner.add(request, now_ns)
        began_ns = self._caching.clock()
        found, number = self._caching.look_up(self._key(request), self)
        if isinstance(found, Later):
            self._looking[number] = (request, began_ns)
            return ()
        return (self._known(request, found, began_ns, now_ns),)

    def looked_up(self, number: int, entry: Entry | None, now_ns: int) -> Iterable[Decision]:
        """A lookup that had to wait has ended."""
        request, began_ns = self._looking.pop(number)
        if request.cancelled:
            self.statistics.failed(now_ns - request.infer.arrival_ns, CANCELED)
            return (Refusal(request, TisError(Code.CANCELLED, _CANCELLED_TEXT)),)
        return (self._known(request, entry, began_ns, now_ns),)

    def _known(self, request: QueuedRequest, entry: Entry | None, began_ns: int, now_ns: int) -> Answer | Ask:
        """Answer with what the cache knows, or have the request run."""
        infer = request.infer
        reply = None if entry is None else self._caching.reply(infer.request_id, entry, infer.asker)
        took_ns = self._caching.clock() - began_ns
        if reply is not None:
            self.statistics.hit(request, took_ns, now_ns)
            return Answer(request, reply)
        ask = self.relay(request)
        self._lookups_ns[ask.infer.request_id] = took_ns
        return ask._replace(infer=msgspec.structs.replace(ask.infer, cache_key=b""))

    def respond(self, relayed: Relayed, message: Reply | Failure, now_ns: int) -> Iterable[Decision]:
        """Keep an answer and hand it on."""
        lookup_ns = self._lookups_ns.pop(relayed.own_id, 0)
        began_ns = self._caching.clock()
        if isinstance(message, Reply) and message.final:
            self._caching.keep(self._key(relayed.request), message)
        self.statistics.missed(lookup_ns, self._caching.clock() - began_ns, now_ns)
        return super().respond(relayed, message, now_ns)

    def cancel(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """The client of a request has gone, wherever the request is."""
        if not request.infer.cache_key:
            return self._inner.cancel(request, now_ns)
        request.cancelled = True
        return super().cancel(request, now_ns)

    def close(self, now_ns: int) -> Iterable[Decision]:
        """The model version is going away, and with it what it has answered."""
        if self._load:
            self._caching.forget(self._load)
        return super().close(now_ns)

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
        metrics = super().metrics(now_ns)
        metrics.cache = self.statistics.cache_counts(now_ns)
        return metrics

    def _key(self, request: QueuedRequest) -> bytes:
        return self._load + request.infer.cache_key
