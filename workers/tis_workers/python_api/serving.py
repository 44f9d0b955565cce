"""The way from what models import to the worker that runs them: one model instance a process, so one way."""

from typing import TYPE_CHECKING

from tis_workers.backchannel import Backchannel
from tis_workers.python_api.errors import TritonModelException

if TYPE_CHECKING:
    from tis_workers.bls.caller import Caller

_channels: list[Backchannel] = []
_instance_names: list[str] = [""]


def set_channel(channel: Backchannel, instance_name: str) -> None:
    """Say which worker's loop this process has, before the model is imported."""
    _channels[:] = [channel]
    _instance_names[:] = [instance_name]


def instance_name() -> str:
    """The instance that this process is."""
    return _instance_names[0]


def channel() -> Backchannel:
    """The way into that loop."""
    return _channels[0]


def caller() -> "Caller":
    """What asks other models.

    Raises:
        TritonModelException: requests are not served yet, or no more.
    """
    found = _channels[0].caller() if _channels else None
    if found is None:
        raise TritonModelException("BLS is only supported during the 'execute' function.")
    return found
