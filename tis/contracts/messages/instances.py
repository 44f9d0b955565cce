"""Instances of a model as clients see and change them: calls as in `calls.py`."""

from tis.contracts.messages.base import Message


class InstancesQuery(Message, tag=85):
    """Which instances a model has; answered by `InstanceStates`, or by a `CallReply` that says why not."""

    call_id: int
    peer: int
    model: str


class InstanceState(Message):
    """One instance."""

    name: str
    version: int
    #: "CPU", "GPU" or "MODEL", and the number of its GPU.
    kind: str
    device: int
    #: 0 while there is no process.
    pid: int
    #: READY, LOADING (also while it is started again), UNLOADING or UNAVAILABLE (it keeps dying).
    state: str


class InstanceStates(Message, tag=86):
    """The instances of a model, by version and in the order of its config."""

    call_id: int
    instances: tuple[InstanceState, ...]


class ChangeInstances(Message, tag=87):
    """Give an instance group of a model another count, without loading it anew; answered when that has ended."""

    call_id: int
    peer: int
    model: str
    count: int
    #: Its name or its position; empty for the only one.
    group: str = ""
