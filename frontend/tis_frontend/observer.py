"""Who looks at inference requests on their way: traces and the access log. Without any a request costs one look."""

from collections.abc import Callable, Iterable
from typing import Protocol

from tis.contracts import messages as m
from tis.contracts.inference import Answer
from tis.contracts.model_spec import ModelSpec
from tis.contracts.plan import Plan
from tis_frontend.traced_tensors import View

Deliver = Callable[[Answer], None]
#: Names and values of a request's headers, or of a call's metadata.
Headers = Iterable[tuple[str | bytes, str | bytes]]


class Observed(Protocol):
    """A request that is looked at."""

    def queued(self, request_id: int, plan: Plan, client_id: str, deliver: Deliver, view: View) -> Deliver:
        """The request is about to go to the scheduler; gives what its answer is to be delivered to."""

    def sending(self) -> None:
        """The response is written and about to go to the transport."""

    def sent(self) -> None:
        """The transport has the response."""


class Observer(Protocol):
    """Decides which requests are looked at, and hears when they were computed."""

    def sample(self, spec: ModelSpec, face: str, arrival_ns: int, headers: Headers = ()) -> Observed | None:
        """A request has been read; None where nobody looks at it. `face` is HTTP or GRPC."""

    def computed(self, times: m.ComputeTimes) -> None:
        """A worker says when it computed a request."""

    def forget(self, request_id: int) -> None:
        """The client of a request has gone."""
