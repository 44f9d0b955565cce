"""Access to members of a JSON document by type, with the words that Triton has for a wrong one."""

from typing import Any

from tis.errors import TisError, internal


def array(value: Any, name: str) -> list[Any]:
    """An array. Raises INTERNAL for anything else."""
    if type(value) is not list:
        raise wrong_type(name, "array")
    return value


def string(fields: dict[str, Any], name: str) -> str:
    """A member that must be there and a string. Raises INTERNAL where it is not."""
    value = member(fields, name)
    if type(value) is not str:
        raise wrong_type(name, "string")
    return value


def member(fields: dict[str, Any], name: str) -> Any:
    """A member that must be there. Raises INTERNAL where it is not."""
    if name not in fields:
        raise internal(f"Unable to parse '{name}': attempt to access non-existing object member '{name}'")
    return fields[name]


def flag(fields: dict[str, Any], name: str) -> bool:
    """A boolean member, false where it is not there. Raises INTERNAL for another type."""
    value = fields.get(name, False)
    if type(value) is not bool:
        raise wrong_type(name, "boolean")
    return value


def wrong_type(name: str, kind: str) -> TisError:
    """A member of the wrong type."""
    return internal(f"Unable to parse '{name}': attempt to access JSON non-{kind} as {kind}")
