"""What instances need of the machine while they run (`rate_limiter`), and how much of it there is. Pure arithmetic.

The rules are Triton's (rate limiter, resource manager): of each resource there is as much as the instance that needs most
of it, unless the operator says otherwise; then there is nothing of what the operator does not name.
"""

from collections.abc import Iterable
from typing import Final

from tis.contracts.model_spec import InstanceSpec
from tis.errors import invalid

#: The device of what all devices share; and, where the operator gives an amount, of what every device has.
EVERYWHERE: Final = -1

#: A device and the name of a resource there.
Resource = tuple[int, str]
#: (name, count, device) as the operator gives them.
Given = tuple[tuple[str, int, int], ...]


def needs(spec: InstanceSpec) -> dict[Resource, int]:
    """What an instance holds while it runs. An instance on the CPU is on device 0."""
    return {
        (EVERYWHERE if each.is_global else spec.device_id, each.name): each.count for each in spec.rate_limit.resources
    }


def most_needed(specs: Iterable[InstanceSpec]) -> dict[Resource, int]:
    """How much of each resource the instance needs that needs most of it."""
    most: dict[Resource, int] = {}
    for spec in specs:
        for resource, amount in needs(spec).items():
            most[resource] = max(amount, most.get(resource, 0))
    return most


def available(resource: Resource, needed: int, given: Given) -> int:
    """How much there is of a resource of which some instance needs `needed`."""
    if not given:
        return needed
    device, name = resource
    # What is shared is looked for under any device.
    fitting = (EVERYWHERE, device)
    amounts = [count for each, count, at in given if each == name and (device == EVERYWHERE or at in fitting)]
    return max(amounts, default=0)


def check_resources(specs: Iterable[InstanceSpec], given: Given) -> None:
    """Rejects instances that could never run beside those there are; `specs` are all of them.

    Raises:
        TisError: INVALID_ARG, in Triton's words.
    """
    most = most_needed(specs)
    for resource, needed in most.items():
        count = available(resource, needed, given)
        if count < needed:
            raise invalid(
                f'Resource count for "{resource[1]}" is limited to {count} which will prevent scheduling of one or more '
                f"model instances, the minimum required count is {needed}"
            )
    shared = {name for device, name in most if device == EVERYWHERE}
    for device, name in most:
        if device != EVERYWHERE and name in shared:
            raise invalid(
                f'Resource "{name}" is present as both global and device-specific resource in the model configuration.'
            )
