"""What a flag is: its name, its words, and what giving it does to the settings.

A flag does one of six things: it stores a value, appends one, marks a field, asks for help, is `Moot`, since it tunes what
this server does not have, of which its user is told; or is `NotYet`: known by name, and refused unless the value asks for
what the server does anyway. To bring a feature to life, turn its flag's `NotYet` into one of the others and give
`ServerSettings` the field.
"""

import msgspec

from tis.cli.values import Reader


class Store(msgspec.Struct, frozen=True):
    """Sets a field of the settings; of several, the last one counts."""

    field: str
    reader: Reader


class Append(msgspec.Struct, frozen=True):
    """Adds to a field of the settings that holds a tuple; a value given twice counts once where `unique`."""

    field: str
    reader: Reader
    unique: bool = False


class Mark(msgspec.Struct, frozen=True):
    """Takes no value: being there is the message."""

    field: str


class Help(msgspec.Struct, frozen=True):
    """Takes no value and ends the parsing: the usage is wanted."""


class NotYet(msgspec.Struct, frozen=True):
    """Known and refused, since the feature does not exist yet.

    The value is read first, so that a wrong one gets the same words as ever. `accepts` are the values that ask for
    nothing but what the server does already; `because` ends a sentence that begins with the refusal.
    """

    reader: Reader
    because: str
    accepts: tuple[object, ...] = ()


class Moot(msgspec.Struct, frozen=True):
    """Tunes something inside Triton that has no counterpart here: a start script that gives it goes on working.

    The value is checked, and a warning says that it has no effect; `because` ends its sentence.
    """

    reader: Reader
    because: str


Action = Store | Append | Mark | Help | NotYet | Moot


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One flag of the command line."""

    name: str
    action: Action
    help: str
    #: Triton's default in words, shown once the flag acts; empty where there is nothing to show.
    default: str = ""
    #: What to use in its place, for a flag that Triton calls deprecated.
    deprecated_for: str = ""
    #: False for flags of newer Tritons and for our own: they never make one of Triton 2.51's abbreviations ambiguous.
    in_triton_2_51: bool = True

    @property
    def reader(self) -> Reader | None:
        """How the value is read, or None for a flag that takes no value."""
        return None if isinstance(self.action, Mark | Help) else self.action.reader


class FlagGroup(msgspec.Struct, frozen=True):
    """Flags shown together in the usage, under a heading."""

    heading: str
    flags: tuple[Flag, ...]
