"""Beyond Triton: the `count` of a GPU group counts instances in all, not on each GPU. Pure logic.

`parameters { key: "tis.placement" value { string_value: "spread" } }` says so for all groups of a model:

`replicate`  `count` instances on each GPU of the group, as Triton has it, and as it is without the parameter
`spread`     `count` instances in all, as evenly as possible over the group's GPUs, those with most room first
`pack`       `count` instances in all, on one of the group's GPUs: that with most room

A group becomes one for each of its GPUs that gets something, with the name and all else of the first; this is what the
completed config shows, and doing it again changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tis.config.proto import Message, ModelInstanceGroup, copy_of

PARAMETER: Final = "tis.placement"
WORDS: Final = ("replicate", "spread", "pack")
#: Memory is compared in steps of a tenth, so that what a GPU's driver needs for itself decides nothing.
_STEPS: Final = 10


@dataclass(frozen=True, slots=True)
class GpuRoom:
    """How much room there is on a GPU."""

    #: Instances of this server that it has already.
    instances: int = 0
    #: Fraction of its memory that is free; None where nobody can tell.
    free: float | None = None


def wants_spreading(config: Message) -> bool:
    """Whether the config asks for anything but Triton's way."""
    return PARAMETER in config.parameters and config.parameters[PARAMETER].string_value in WORDS[1:]


def spread(config: Message, rooms: Sequence[GpuRoom] = ()) -> None:
    """Put one group for each GPU in the place of every GPU group of a config, in place.

    Args:
        config: with kinds, counts and GPUs completed.
        rooms: of all GPUs by their number; those behind the last are taken for empty.
    """
    packs = config.parameters[PARAMETER].string_value == "pack"
    # What a group of the same model gets counts as full for those behind it.
    taken: dict[int, int] = {}
    groups = [copy_of(group) for group in config.instance_group]
    del config.instance_group[:]
    for group in groups:
        if group.kind != ModelInstanceGroup.KIND_GPU or not group.gpus:
            config.instance_group.append(group)
            continue
        gpus = list(dict.fromkeys(group.gpus))
        for gpu, count in _shares(gpus, group.count, rooms, taken, packs=packs).items():
            part = copy_of(group)
            part.count = count
            part.gpus[:] = [gpu]
            config.instance_group.append(part)
            taken[gpu] = taken.get(gpu, 0) + count


def _shares(
    gpus: list[int], count: int, rooms: Sequence[GpuRoom], taken: dict[int, int], *, packs: bool
) -> dict[int, int]:
    """How many instances each GPU gets, in the order of the list; GPUs that get none are left out."""

    def fullness(gpu: int) -> tuple[int, int]:
        room = rooms[gpu] if 0 <= gpu < len(rooms) else GpuRoom()
        free = 1.0 if room.free is None else room.free
        return -round(free * _STEPS), room.instances + taken.get(gpu, 0)

    ordered = sorted(gpus, key=fullness)
    if packs:
        return {ordered[0]: count}
    whole, rest = divmod(count, len(gpus))
    more = set(ordered[:rest])
    return {gpu: whole + (gpu in more) for gpu in gpus if whole or gpu in more}
