"""Clients look at the instances of models and change how many there are: their calls. Beyond Triton, and in every mode."""

from collections.abc import Callable, Iterator
from typing import Final

from tis.contracts import messages as m
from tis.errors import TisError, invalid, not_found
from tis.supervisor.calls import Calls
from tis.supervisor.instances import InstancePlace
from tis.supervisor.loader import Loader
from tis.supervisor.models import Models
from tis.supervisor.version import ModelVersion, State

#: Each is a process: what is beyond this is a slip of the finger.
MOST_INSTANCES: Final = 1024


def serve_instance_control(
    calls: Calls, loader: Loader, models: Models, send: Callable[[int, m.Message], None]
) -> None:
    """Let clients see and change the instances of models."""

    def query(call: m.InstancesQuery) -> bool:
        model = models.get(call.model)
        if model is None:
            raise not_found(f"Request for unknown model: '{call.model}' is not found")
        versions = sorted(set(model.living()), key=lambda version: (version.version, version.load))
        states = tuple(state for version in versions for state in states_of(version))
        send(call.peer, m.InstanceStates(call.call_id, states))
        return True

    def change(call: m.ChangeInstances) -> bool:
        if not 1 <= call.count <= MOST_INSTANCES:
            raise invalid(f"the number of instances must be from 1 to {MOST_INSTANCES}; got {call.count}")

        def done(error: TisError | None) -> None:
            calls.reply(call.peer, call.call_id, error)

        loader.resize(call.model, call.group, call.count, done)
        return True

    calls.handle(m.InstancesQuery, query)
    calls.handle(m.ChangeInstances, change)


def states_of(version: ModelVersion) -> Iterator[m.InstanceState]:
    """What each instance of a version is in."""
    for place in version.instances.everywhere:
        pid = place.child.pid if place.child is not None else 0
        state = _state(version, place)
        if pid or state is not State.UNAVAILABLE or version.state is State.READY:
            spec = place.spec
            yield m.InstanceState(spec.name, version.version, spec.kind, spec.device_id, pid, state.name)


def _state(version: ModelVersion, place: InstancePlace) -> State:
    if version.state is State.UNLOADING or version.instances.is_leaving(place):
        return State.UNLOADING
    if place.given_up or version.state is State.UNAVAILABLE:
        return State.UNAVAILABLE
    return State.READY if place.up else State.LOADING
