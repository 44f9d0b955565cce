"""Which changes of a model's config its running instances survive. Pure logic."""

from collections.abc import Sequence
from typing import Final

from tis.config.proto import Message, copy_of
from tis.contracts.model_spec import InstanceSpec
from tis.errors import invalid

#: How many instances there are and where, and which versions are served: nothing that an instance itself is made of.
_IN_PLACE: Final = frozenset({"instance_group", "version_policy"})


def changed_fields(before: Message, after: Message) -> frozenset[str]:
    """The top-level fields in which two ModelConfigs differ."""
    old, new = ({field.name: value for field, value in config.ListFields()} for config in (before, after))
    return frozenset(
        name for name in old.keys() | new.keys() if name not in old or name not in new or old[name] != new[name]
    )


def updates_in_place(before: Message, after: Message) -> bool:
    """True where instances of the one config may go on under the other: at most their number and the versions differ.

    Compare configs as their definitions have them, before the model itself completes them; and load anew all the same where
    files of the version or common files have changed (behaviour of Triton's `EquivalentInNonInstanceGroupConfig`).
    """
    return changed_fields(before, after) <= _IN_PLACE


def kept_instances(before: Sequence[InstanceSpec], after: Sequence[InstanceSpec]) -> tuple[int | None, ...]:
    """For each instance that there is to be, the position of the one that goes on as it; None where one is to be started.

    One goes on as another where nothing but the name differs (behaviour of Triton's `TritonModelInstance::Signature`); of
    several that could, the one of that name.
    """
    free = dict(enumerate(before))
    found: dict[int, int] = {}
    for same in (InstanceSpec.__eq__, InstanceSpec.is_but_for_its_name):
        for number, wanted in enumerate(after):
            if number not in found:
                index = next((index for index, spec in free.items() if same(spec, wanted)), None)
                if index is not None:
                    found[number] = index
                    del free[index]
    return tuple(found.get(number) for number in range(len(after)))


def with_instances_of(completed: Message, placed: Message) -> Message:
    """A copy of a completed config with the instance groups and version policy of another, which is placed."""
    config = copy_of(completed)
    for field in sorted(_IN_PLACE):
        config.ClearField(field)
    config.instance_group.extend(placed.instance_group)
    config.version_policy.CopyFrom(placed.version_policy)
    return config


def with_count(config: Message, group: str, count: int) -> Message:
    """A copy of a config with another count of instances in one of its groups, which must be named.

    Args:
        config: with its groups completed.
        group: the name of a group or its position; empty where there is one only.
        count: at least 1.

    Raises:
        TisError: INVALID_ARG for a group that there is not, and for none where there are several.
    """
    config = copy_of(config)
    names = [each.name for each in config.instance_group]
    text = f"the instance groups of model '{config.name}' are {', '.join(names)}"
    if not group and len(names) != 1:
        raise invalid(f"which instance group is meant must be said; {text}")
    if group and group not in names and not (group.isascii() and group.isdigit() and int(group) < len(names)):
        raise invalid(f"unknown instance group '{group}'; {text}")
    index = 0 if not group else names.index(group) if group in names else int(group)
    config.instance_group[index].count = count
    return config
