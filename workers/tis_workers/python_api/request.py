"""`InferenceRequest`: a request that the server hands to a model. Those that models make are in `bls_request.py`."""

import json
from typing import TYPE_CHECKING, Final

from tis_workers.backchannel import Backchannel
from tis_workers.forks import refuse_if_forked
from tis_workers.python_api import bls_request
from tis_workers.python_api.errors import fits
from tis_workers.python_api.sender import InferenceResponseSender
from tis_workers.python_api.tensor import Tensor, tensor_of
from tis_workers.python_api.trace import InferenceTrace
from tis_workers.request import WorkRequest

if TYPE_CHECKING:
    from tis_workers.bls.call import Ask

_START: Final = 1
_END: Final = 2
_RESCHEDULE: Final = 2


class InferenceRequest(bls_request.InferenceRequest):
    """A request that the server hands to `execute`. Sent like one of the model's own, it goes to this very model."""

    __slots__ = ("_channel", "_flags", "_rescheduled", "_sender", "_work")

    def __init__(self, work: WorkRequest, channel: Backchannel) -> None:
        self._work = work
        self._channel = channel
        self._inputs: list[Tensor] | None = None
        self._sender: InferenceResponseSender | None = None
        self._rescheduled = False
        self._flags: int | None = None

    def inputs(self) -> list[Tensor]:
        """The inputs that the request has; optional ones may be absent."""
        inputs = self._inputs
        if inputs is None:
            work = self._work
            specs = work.spec.inputs_by_name
            inputs = self._inputs = [
                # Controls and states of sequences are not among the configured inputs.
                tensor_of(name, array, specs[name].datatype) if name in specs else Tensor(name, array)
                for name, array in work.inputs.items()
            ]
        return inputs

    def request_id(self) -> str:
        """The client's id for it; empty where it gave none."""
        return self._work.client_id

    def correlation_id(self) -> int | str:
        """Its sequence; 0 for none."""
        wishes = self._work.wishes
        return wishes.sequence_id if wishes is not None else 0

    def flags(self) -> int:
        """1 for the start of a sequence, 2 for its end, together 3."""
        if self._flags is not None:
            return self._flags
        wishes = self._work.wishes
        if wishes is None:
            return 0
        return (_START if wishes.sequence_start else 0) | (_END if wishes.sequence_end else 0)

    def set_flags(self, flags: int) -> None:
        """Change what `flags` says."""
        self._flags = flags

    def timeout(self) -> int:
        """The client's timeout in microseconds; 0 for none."""
        wishes = self._work.wishes
        return wishes.timeout_us if wishes is not None else 0

    def priority(self) -> int:
        """The client's priority; 0 for the model's default."""
        wishes = self._work.wishes
        return wishes.priority if wishes is not None else 0

    def parameters(self) -> str:
        """The client's own parameters as the JSON text of an object."""
        return json.dumps(dict(self._work.parameters), separators=(",", ":"), ensure_ascii=False)

    def requested_output_names(self) -> set[str]:
        """The outputs that the client wants; all of the model's where it named none."""
        return {spec.name for spec in self._work.wanted}

    def trace(self) -> InferenceTrace:
        """What stands for its trace."""
        return InferenceTrace()

    def is_cancelled(self) -> bool:
        """Whether the client has gone. Looks for news, so that it tells while `execute` runs."""
        refuse_if_forked()
        return self._channel.is_cancelled(self._work)

    def get_response_sender(self) -> InferenceResponseSender:
        """What sends responses one by one, from any thread."""
        if self._sender is None:
            self._sender = InferenceResponseSender(self._work, self._channel)
        return self._sender

    def set_release_flags(self, flags: int) -> None:
        """RELEASE_ALL (1), or RESCHEDULE (2) to run the request again, in iterative sequence models only.

        Other flags are the same as RELEASE_ALL, as in Triton.

        Raises:
            TypeError: not a number.
        """
        if not fits(flags, int):
            raise TypeError(f"set_release_flags takes flags (int); got {flags!r}")
        self._rescheduled = flags == _RESCHEDULE

    def _ask(self) -> "Ask":
        work = self._work
        self._model, self._version = work.spec.name, work.spec.version
        self._outputs = [spec.name for spec in work.wanted]
        self._own_parameters = dict(work.parameters)
        return super()._ask()

    # ---- for the server --------------------------------------------------------------------------------------------

    @property
    def rescheduled(self) -> bool:
        """Whether the model wants it to run again."""
        return self._rescheduled

    def for_own(self) -> tuple[WorkRequest, Backchannel]:
        """What an output is allocated with, see `python_api.own`."""
        return self._work, self._channel

    @property
    def has_sender(self) -> bool:
        """Whether the model has taken its sender."""
        return self._sender is not None
