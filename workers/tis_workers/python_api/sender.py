"""`InferenceResponseSender`: responses one by one, from any thread, during `execute` or after it."""

from functools import partial
from typing import Final

from tis.errors import TisError, internal
from tis_workers.backchannel import Backchannel
from tis_workers.forks import refuse_if_forked
from tis_workers.python_api.errors import TritonModelException, fits
from tis_workers.python_api.response import InferenceResponse
from tis_workers.python_api.tensor import OutputTensor
from tis_workers.request import WorkRequest

_FINAL: Final = 1


class InferenceResponseSender:
    """Sends responses to one request, which has one sender only."""

    __slots__ = ("_channel", "_closed", "_decoupled", "_work")

    def __init__(self, work: WorkRequest, channel: Backchannel) -> None:
        self._work = work
        self._channel = channel
        self._closed = False
        self._decoupled = work.spec.decoupled

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Send a response at once; with flag TRITONSERVER_RESPONSE_COMPLETE_FINAL (1) it is the last, or there is none.

        Raises:
            TritonModelException: other flags, nothing to send, or more than the request may get.
        """
        refuse_if_forked()
        self._check(response, flags)
        self._closed = flags == _FINAL
        work = self._work
        if response is not None:
            # A model that is not decoupled has one response, which therefore is the last one, whatever the flags say.
            final = self._closed or not self._decoupled
            self._channel.send(work, partial(answer, work, response, final=final))
        elif not work.answered:
            self._channel.send(work, work.end)

    def is_cancelled(self) -> bool:
        """Whether the client has gone."""
        return self._channel.is_cancelled(self._work)

    def _check(self, response: InferenceResponse | None, flags: int) -> None:
        if not (response is None or fits(response, InferenceResponse)) or not fits(flags, int):
            raise TypeError(f"send takes an InferenceResponse or None, and flags (int); got {response!r} and {flags!r}")
        if flags not in (0, _FINAL):
            raise TritonModelException("Unable to send response. Unsupported flag provided.")
        if response is None and not flags:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        if self._closed or (self._decoupled and self._work.answered):
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        if self._decoupled:
            return
        if response is not None and self._work.responses:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send more than one response."
            )
        if response is None and not self._work.responses:
            raise TritonModelException(
                "Unable to send response. Non-decoupled model cannot send complete final before sending a response."
            )

    def __del__(self) -> None:
        # Nothing more can come. Not here: this may run anywhere, even in the loop's own hands.
        if not self._work.answered:
            self._channel.later(partial(_abandon, self._work, self._channel))


def answer(work: WorkRequest, response: InferenceResponse, *, final: bool = True) -> None:
    """Post a response, with the lock held. What cannot be written becomes the request's error."""
    if work.answered:
        # It has failed while a thread of the model was about to send this.
        return
    error = response.error()
    if error is not None:
        work.fail(error.as_error(), verbatim=True, counts=False, final=final)
        return
    tensors = response.output_tensors()
    own = {tensor.name(): tensor.own for tensor in tensors if type(tensor) is OutputTensor} or None
    try:
        outputs = [tensor.parts() for tensor in tensors]
        work.respond_with(outputs, response.own_parameters(), final=final, own=own)
    except TisError as refused:
        work.fail(refused, final=final)
    except BaseException as error:  # noqa: BLE001 - such as a string that cannot be encoded: this request's own affair
        work.fail(internal(f"unable to write the response: {type(error).__name__}: {error}"), final=final)


def _abandon(work: WorkRequest, channel: Backchannel) -> None:
    """The model has dropped every sender of a request without a last word; Triton's client would wait for ever."""
    if work.answered:
        return
    if work.spec.decoupled:
        work.end()
    else:
        work.fail(internal(f"model '{work.spec.name}' dropped the response sender of the request without a response"))
    channel.sent(work)
