"""`ResponseIterator`: the responses to a request that a model has made of a decoupled model.

As in Triton, the last one may be empty: the news that no more will come. Iterating anew when all have come gives them again.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tis_workers.python_api.errors import TritonError, of_code
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.tensor import tensor_of

if TYPE_CHECKING:
    from tis_workers.backchannel import Backchannel
    from tis_workers.bls.call import Call, Outcome
    from tis_workers.bls.caller import Caller


class ResponseIterator:
    """Gives responses as they come. It keeps them, so drop it when you have read them."""

    __slots__ = ("_at", "_call", "_caller", "_channel", "_over", "_responses")

    def __init__(self, call: "Call", caller: "Caller", channel: "Backchannel") -> None:
        self._call = call
        self._caller = caller
        self._channel = channel
        self._responses: list[InferenceResponse] = []
        self._at = 0
        self._over = False

    def __iter__(self) -> Iterator[InferenceResponse]:
        if self._over:
            self._at = 0
        return self

    def __next__(self) -> InferenceResponse:
        if self._at == len(self._responses):
            if self._over:
                raise StopIteration
            with self._caller.lock:
                outcome = self._caller.wait(self._call)
            self.add(outcome)
        self._at += 1
        return self._responses[self._at - 1]

    def __aiter__(self) -> AsyncIterator[InferenceResponse]:
        # Triton's can only be iterated over with `for`, which holds up everything else in the loop.
        self.__iter__()
        return self

    async def __anext__(self) -> InferenceResponse:
        from tis_workers.bls.awaiting import reader_of

        if self._at == len(self._responses):
            if self._over:
                raise StopAsyncIteration
            await reader_of(self._caller).outcome(self._call, self.add)
        self._at += 1
        return self._responses[self._at - 1]

    def add(self, outcome: "Outcome") -> "ResponseIterator":
        """Keep a response."""
        self._responses.append(response_of(outcome))
        self._over = outcome.final
        return self

    def __del__(self) -> None:
        # Not here: this may run anywhere, even where the lock is held.
        if not self._over:
            self._channel.later(partial(self._caller.abandon, self._call))


def response_of(outcome: "Outcome") -> InferenceResponse:
    """A response as models see it."""
    error = outcome.error
    return InferenceResponse(
        [tensor_of(*output) for output in outcome.outputs],
        TritonError(error.message, of_code(error.code)) if error is not None else None,
    )
