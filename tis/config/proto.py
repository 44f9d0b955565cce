"""Triton's `model_config.proto`: access to its messages. No rule about them lives here."""

from typing import Any, Final, TypeAlias

from tis.generated import load

#: A message of `model_config.proto`, such as ModelConfig. The package ships no stubs, so checkers cannot see inside.
Message: TypeAlias = Any

model_config_pb2: Final[Any] = load("model_config_pb2")
ModelConfig: Final[Any] = model_config_pb2.ModelConfig
ModelInput: Final[Any] = model_config_pb2.ModelInput
ModelOutput: Final[Any] = model_config_pb2.ModelOutput
ModelInstanceGroup: Final[Any] = model_config_pb2.ModelInstanceGroup


def copy_of(message: Message) -> Message:
    """A deep copy, so that a function can hand back a changed message and leave the caller's alone."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def enum_name(message: Message, field: str) -> str:
    """Name of the value of an enum field: `TYPE_FP32`. A number without a name comes back as digits."""
    return value_name(message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))


def value_name(enum_type: Any, number: int) -> str:
    """Name of a number in an enum descriptor, or its digits where it has none (proto3 enums are open)."""
    value = enum_type.values_by_number.get(number)
    return str(number) if value is None else str(value.name)


def is_repeated(field: Any) -> bool:
    """True for a repeated or map field descriptor. protobuf 6.31 renamed the question; this asks whichever exists."""
    known = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if known is None else known)


def is_map(field: Any) -> bool:
    """True for a map field descriptor."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
