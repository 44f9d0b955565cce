"""Which fields of a config are set, asked by dotted name: `dynamic_batching.priority_levels`. What follows, others say."""

from collections.abc import Iterable

from tis.config.proto import Message, is_map, is_repeated


def is_set(message: Message, dotted: str) -> bool:
    """True where the user gave the field a value, in any element of the repeated fields and maps on the way.

    Set is a sub-message that is present, a list or map that is not empty, and a primitive other than its default.
    """
    name, _, rest = dotted.partition(".")
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if is_repeated(field):
        if not rest:
            return len(value) > 0
        elements = (value[key] for key in value) if is_map(field) else value
        return any(is_set(element, rest) for element in elements)
    if field.message_type is not None or field.containing_oneof is not None:
        return message.HasField(name) and (not rest or is_set(value, rest))
    return bool(value != field.default_value)


def set_among(message: Message, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the dotted names that are set, sorted."""
    return tuple(sorted(name for name in names if is_set(message, name)))
