"""Who in this process waits for the answers to its own requests. Pure; what the answers bring about is the loop's affair."""

from collections import deque
from collections.abc import Iterator

from tis.contracts.messages import Failure, Reply
from tis.scheduler.decisions import Asker


class OwnRequests:
    """The askers in the scheduler, by the numbers of their requests, and the responses that have not been told yet."""

    def __init__(self) -> None:
        self._askers: dict[int, Asker] = {}
        self._responses: deque[Reply | Failure] = deque()
        self._telling = False

    def add(self, request_id: int, asker: Asker) -> None:
        """A request is about to be made."""
        self._askers[request_id] = asker

    def responses(self, message: Reply | Failure) -> Iterator[tuple[Asker | None, Reply | Failure]]:
        """A response has come: gives whom to tell it, None where it is not waited for any more.

        What that brings about may make further responses (a step may be refused at once). They are given here as well, one
        after the other: a thousand of them in a row do not stand on each other's stack.
        """
        self._responses.append(message)
        if self._telling:
            return
        self._telling = True
        while self._responses:
            each = self._responses.popleft()
            asker = self._askers.pop(each.request_id, None) if each.final else self._askers.get(each.request_id)
            yield asker, each
        self._telling = False
