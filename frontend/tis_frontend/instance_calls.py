"""What clients ask about the instances of a model, and how many there are to be; asked of the supervisor."""

import asyncio
from typing import Final

from tis.contracts import messages as m
from tis_frontend.server import Server

_DEADLINE_S: Final = 60.0


async def states(server: Server, model: str) -> tuple[m.InstanceState, ...]:
    """The instances of a model, of all its versions.

    Raises:
        TisError: NOT_FOUND for a name that nobody knows.
    """
    meant = server.table.identifier(model)
    reply = server.calls.send(lambda call_id, peer: m.InstancesQuery(call_id, peer, meant))
    answer = await server.calls.done(reply, _DEADLINE_S)
    return answer.instances if isinstance(answer, m.InstanceStates) else ()


async def change(server: Server, model: str, count: int, group: str = "") -> None:
    """Give a group of a model so many instances, and wait for it. Once begun it goes on, whether or not the client stays.

    Args:
        server: this server.
        model: its name.
        count: how many, on each GPU where the group is one of GPUs.
        group: the name of a group or its position; empty for the only one.

    Raises:
        TisError: there is no such model or group, or an instance cannot be started; then there are as many as before.
    """
    meant = server.table.identifier(model)
    reply = server.calls.send(lambda call_id, peer: m.ChangeInstances(call_id, peer, meant, count, group))
    await asyncio.shield(asyncio.ensure_future(server.calls.done(reply)))
