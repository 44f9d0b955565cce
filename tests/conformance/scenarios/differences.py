"""Where a scenario ends otherwise here than with Triton 2.51 on purpose, with the reason.

A scenario that no longer differs fails, so that the list stays true.
"""

from typing import Final

_ON_TIME: Final = (
    "a request is delayed when its time is over, not at the next look at the queue: who is late first, is first"
)
_TEXTS: Final = "ids that are texts reach the model; the reference miscounts their elements"
_PREFERRED: Final = (
    "three candidates and a preferred size of 3 are one batch; the reference leaves the second one to the delay"
)
_WAITS: Final = "an ensemble's error is told once no step runs any more, since steps read the client's tensors"
_ONCE: Final = "a request that fails is one failure; the reference counts an ensemble that a step refuses twice"
_CANCELS: Final = (
    "the steps of an ensemble that is cancelled are cancelled, too; the reference executes those that wait"
)

DIFFERENCES: Final[dict[str, str]] = {
    "queues/requests that are delayed keep their order": _ON_TIME,
    "sequences/sequences with texts as ids": _TEXTS,
    "sequences/oldest: as many candidates as a preferred size are sent without delay": _PREFERRED,
    "ensembles/after an error the other step is waited for": _WAITS,
    "ensembles/a step whose queue is full refuses the ensemble": _ONCE,
    "ensembles/an ensemble that is cancelled": _CANCELS,
}
