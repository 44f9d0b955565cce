"""Why a request of a sequence does not run, in Triton's words where Triton has words for it."""

from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import Code, TisError, internal, unavailable


def several_items(model: str) -> TisError:
    """A request is one step of a sequence."""
    text = f"inference request to model '{model}' must specify batch-size 1 due to requirements of sequence batcher"
    return TisError(Code.INVALID_ARG, text, complete=True)


def no_correlation_id(model: str) -> TisError:
    """It does not say which sequence it belongs to."""
    text = f"inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
    return TisError(Code.INVALID_ARG, text, complete=True)


def no_start(model: str, sequence_id: int | str) -> TisError:
    """The sequence has not begun, or has ended."""
    text = (
        f"inference request for sequence {sequence_id} to model '{model}' must specify the START flag on the first "
        "request of the sequence"
    )
    return TisError(Code.INVALID_ARG, text, complete=True)


def waited_too_long() -> TisError:
    """No slot came free in time."""
    return TisError(Code.UNAVAILABLE, "timeout of the corresponding sequence has been expired", complete=True)


def cancelled() -> TisError:
    """Its client does not want it any more."""
    return TisError(Code.CANCELLED, "the request was cancelled")


def cancelled_before() -> TisError:
    """What it would have continued was cancelled."""
    return TisError(Code.CANCELLED, "a request before this one in its sequence was cancelled")


def not_iterative(model: str) -> TisError:
    """A model gave a request back that cannot be run again."""
    return internal(f"model '{model}' wants to run a request again, but its config has no 'iterative_sequence'")


def instance_died(model: str, sequence_id: int | str, sequences: SequenceBatcherSpec) -> TisError:
    """What it would have continued is lost."""
    advice = "try again" if sequences.iterative else "start the sequence anew"
    return unavailable(f"the instance of model '{model}' that had sequence {sequence_id} has died; {advice}")
