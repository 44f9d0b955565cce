"""Which changes of a model's config its running instances survive. Pure logic."""

from typing import Final

from tis.config.proto import Message

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
