"""A scheduler in front of another one, which sees the responses before the clients do. Pure logic.

It takes each request as its own: the inner scheduler gets a copy whose asker is the scheduler process, so that responses
come here and go on from here. What is done with them is for those who derive from `Relaying`; `Ordered` keeps their order.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from tis.contracts.messages import BatchDone, Failure, Finished, ModelMetrics, Reply
from tis.contracts.model_spec import InstanceSpec, ModelSpec
from tis.scheduler.decisions import Answer, Ask, Decision, Withdraw, own_ids
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.scheduling import Scheduling
from tis.scheduler.statistics import Statistics


@dataclass(slots=True, eq=False)
class Relayed:
    """A request that has been passed on under a number of the scheduler's own."""

    request: QueuedRequest
    own_id: int
    #: Responses that are kept back.
    responses: deque[Reply | Failure] = field(default_factory=deque)


class Relaying:
    """Passes everything through; a request's responses are renamed and answered at once."""

    def __init__(self, inner: Scheduling, own_peer: int) -> None:
        self._inner = inner
        self._own_peer = own_peer
        self._relayed: dict[int, Relayed] = {}
        #: The same by what its asker names a request by.
        self._own_ids: dict[tuple[int, int], int] = {}

    @property
    def spec(self) -> ModelSpec:
        """The model version."""
        return self._inner.spec

    @property
    def statistics(self) -> Statistics:
        """What is counted of it."""
        return self._inner.statistics

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self._inner.queued

    @property
    def idle(self) -> bool:
        """True where nothing waits, runs or is still to be answered."""
        return not self._relayed and self._inner.idle

    @property
    def pinned(self) -> Collection[int]:
        """Loads that its requests in flight keep to."""
        return self._inner.pinned

    # ---- requests --------------------------------------------------------------------------------------------------

    def add(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Take a request as one of the scheduler's own, and that own one then for real."""
        if self._is_own(request):
            return self._inner.add(request, now_ns)
        return (self.relay(request),)

    def relay(self, request: QueuedRequest) -> Ask:
        """Pass a request on."""
        own_id = next(own_ids)
        self._relayed[own_id] = self.taken(Relayed(request, own_id))
        self._own_ids[request.key] = own_id
        infer = msgspec.structs.replace(request.infer, asker=self._own_peer, request_id=own_id)
        return Ask(infer, self, request.timed, request.origin or request.key)

    def taken(self, relayed: Relayed) -> Relayed:
        """A request is being passed on."""
        return relayed

    def has_passed_on(self, own_id: int) -> bool:
        """True for the number of a request that was passed on here or further in."""
        return own_id in self._relayed or (isinstance(self._inner, Relaying) and self._inner.has_passed_on(own_id))

    def _is_own(self, request: QueuedRequest) -> bool:
        return request.infer.asker == self._own_peer and self.has_passed_on(request.infer.request_id)

    def answered(self, message: Reply | Failure, now_ns: int) -> Iterable[Decision]:
        """A response has come: see what to do with it."""
        relayed = self._relayed[message.request_id]
        if message.final:
            del self._relayed[message.request_id]
            del self._own_ids[relayed.request.key]
        return self.respond(relayed, message, now_ns)

    def respond(self, relayed: Relayed, message: Reply | Failure, now_ns: int) -> Iterable[Decision]:  # noqa: ARG002
        """What becomes of a response."""
        return (answer(relayed, message),)

    def cancel(self, request: QueuedRequest, now_ns: int) -> Iterable[Decision]:
        """Withdraw the request passed on; its answer still comes."""
        if self._is_own(request):
            return self._inner.cancel(request, now_ns)
        own_id = self._own_ids.get(request.key)
        return (Withdraw(own_id),) if own_id is not None else ()

    # ---- all else is the inner one's -------------------------------------------------------------------------------

    def close(self, now_ns: int) -> Iterable[Decision]:
        """The model version is going away."""
        return self._inner.close(now_ns)

    def dispatch(self, now_ns: int) -> Iterable[Decision]:
        """Do everything that is due."""
        return self._inner.dispatch(now_ns)

    def wake_ns(self, now_ns: int) -> int | None:
        """When to dispatch again."""
        return self._inner.wake_ns(now_ns)

    def instance_up(self, peer: int, number: int, spec: InstanceSpec | None = None) -> None:
        """An instance takes batches from now on."""
        self._inner.instance_up(peer, number, spec)

    def instance_gone(self, peer: int, reason: str, now_ns: int) -> Iterable[Decision]:
        """An instance has died."""
        return self._inner.instance_gone(peer, reason, now_ns)

    def respecified(self, spec: ModelSpec) -> None:
        """The specification has other instances."""
        self._inner.respecified(spec)

    def retire_instance(self, peer: int) -> None:
        """An instance gets nothing new from now on."""
        self._inner.retire_instance(peer)

    def is_instance_idle(self, peer: int) -> bool:
        """True where an instance has nothing left."""
        return self._inner.is_instance_idle(peer)

    def running(self) -> list[tuple[int, int]]:
        """Instances that have something to do."""
        return self._inner.running()

    def done(self, done: BatchDone, now_ns: int) -> list[QueuedRequest]:
        """A batch has run."""
        return self._inner.done(done, now_ns)

    def finished(self, finished: Finished) -> QueuedRequest | None:
        """The last response to a request has been sent."""
        return self._inner.finished(finished)

    def metrics(self, now_ns: int) -> ModelMetrics:
        """What metrics tell of it."""
        return self._inner.metrics(now_ns)


class Ordered(Relaying):
    """`preserve_ordering`: responses leave in the order in which their requests came, whichever instance is quicker."""

    def __init__(self, inner: Scheduling, own_peer: int) -> None:
        super().__init__(inner, own_peer)
        self._line: deque[Relayed] = deque()

    def taken(self, relayed: Relayed) -> Relayed:
        """The request stands at the end of the line."""
        self._line.append(relayed)
        return relayed

    def respond(self, relayed: Relayed, message: Reply | Failure, now_ns: int) -> Iterable[Decision]:  # noqa: ARG002
        """Let the responses of the first in line go, and of the next where that was its last."""
        relayed.responses.append(message)
        line = self._line
        while line and line[0].responses:
            first = line[0]
            response = first.responses.popleft()
            if response.final:
                line.popleft()
            yield answer(first, response)


def answer(relayed: Relayed, message: Reply | Failure) -> Answer:
    """A response under the number by which its asker knows the request."""
    return Answer(relayed.request, msgspec.structs.replace(message, request_id=relayed.request.infer.request_id))
