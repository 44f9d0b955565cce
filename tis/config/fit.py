"""Does a tree of entries fit ModelConfig? Where each field stands, and each entry that does not fit, with its nearest kin."""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, Final

from tis.config.fault import at_key
from tis.config.proto import ModelConfig, is_map, is_repeated
from tis.config.tree import Block, Entry, Kind, Many, Scalar, Value

_INTEGERS: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_TRUTHS: Final = frozenset({"true", "false", "True", "False", "t", "f", "0", "1"})
_NUMBER: Final = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fF]?", re.ASCII)
_NO_NUMBERS: Final = frozenset({"inf", "infinity", "nan"})
_SHOWN_LETTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a field stands in a text, from 1, and what is written there."""

    line: int
    column: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Misfit:
    """An entry that ModelConfig has no place for."""

    path: str
    message: str
    expected: str
    line: int
    column: int
    #: The entry to leave out so that the rest may be read.
    entry: Entry
    #: The path that was probably meant.
    meant: str = ""
    #: What is written there.
    given: str = ""


@dataclass(slots=True)
class Fit:
    """What a look at the whole tree found."""

    marks: dict[str, Mark] = field(default_factory=dict)
    misfits: list[Misfit] = field(default_factory=list)


def fit(tree: Block, *, pbtxt: bool) -> Fit:
    """Lays a tree on ModelConfig. `pbtxt` tells protobuf text, where lists and maps are written otherwise, from JSON."""
    fitting = _Fitting(pbtxt)
    fitting.message(tree, ModelConfig.DESCRIPTOR, "")
    return fitting.found


class _Fitting:
    def __init__(self, pbtxt: bool) -> None:
        self._pbtxt = pbtxt
        self.found = Fit()

    def message(self, block: Block, descriptor: Any, prefix: str) -> None:
        seen: dict[str, int] = {}
        chosen: dict[str, str] = {}
        fields = {each.name: each for each in descriptor.fields}
        known = fields if self._pbtxt else fields | {each.json_name: each for each in descriptor.fields}
        for entry in block.entries:
            described = known.get(entry.name)
            if described is None:
                self._unknown(entry, descriptor, prefix)
                continue
            path = prefix + described.name
            before = seen.get(described.name, 0)
            if before and not (self._pbtxt and is_repeated(described)):
                self._misfit(entry, path, f"field '{described.name}' is given twice", "it once")
                continue
            oneof = described.containing_oneof
            if oneof is not None and chosen.setdefault(oneof.name, described.name) != described.name:
                other = chosen[oneof.name]
                self._misfit(entry, path, f"field '{described.name}' cannot stand beside '{other}'", "one of the two")
                continue
            seen[described.name] = before + self._field(entry, described, path, before)

    def _field(self, entry: Entry, described: Any, path: str, before: int) -> int:
        """Lays one entry on its field; gives how many values it has."""
        if not before:
            self.found.marks[path] = Mark(entry.line, entry.column, _shown(entry.value))
        value = entry.value
        if not self._pbtxt and isinstance(value, Scalar) and value.kind is Kind.NULL:
            return 1
        if is_map(described):
            self._map(entry, described, path)
            return 1
        if not is_repeated(described):
            if isinstance(value, Many):
                self._misfit(entry, path, f"field '{described.name}' is no list", _expected(described), value)
            else:
                self._value(entry, value, described, path)
            return 1
        if not isinstance(value, Many) and not self._pbtxt:
            self._misfit(entry, path, f"field '{described.name}' is a list", "a list", value)
            return 1
        items = value.items if isinstance(value, Many) else (value,)
        for index, item in enumerate(items, before):
            at = f"{path}[{index}]"
            place = item if isinstance(value, Many) else entry
            self.found.marks[at] = Mark(place.line, place.column, _shown(item))
            self._value(entry, item, described, at)
        return len(items)

    def _map(self, entry: Entry, described: Any, path: str) -> None:
        value_field = described.message_type.fields_by_name["value"]
        if self._pbtxt:
            items = entry.value.items if isinstance(entry.value, Many) else (entry.value,)
            for item in items:
                if not isinstance(item, Block):
                    self._misfit(entry, path, f"field '{described.name}' is a map", "{ key: … value: … }", item)
                    continue
                parts = {part.name: part for part in item.entries}
                key = parts["key"].value if "key" in parts else None
                at = at_key(path, key.value if isinstance(key, Scalar) else "")
                self.found.marks[at] = Mark(entry.line, entry.column)
                for part in item.entries:
                    if part.name not in ("key", "value"):
                        self._unknown(part, described.message_type, f"{at}.")
                if "value" in parts:
                    self._value(parts["value"], parts["value"].value, value_field, at)
            return
        if not isinstance(entry.value, Block):
            self._misfit(entry, path, f"field '{described.name}' is a map", "a map from names to values", entry.value)
            return
        for part in entry.value.entries:
            at = at_key(path, part.name)
            if at in self.found.marks:
                self._misfit(part, at, f"'{part.name}' is given twice", "it once")
                continue
            self.found.marks[at] = Mark(part.line, part.column, _shown(part.value))
            self._value(part, part.value, value_field, at)

    def _value(self, entry: Entry, value: Value, described: Any, path: str) -> None:
        if described.message_type is not None:
            if isinstance(value, Block):
                self.message(value, described.message_type, f"{path}.")
            else:
                self._misfit(entry, path, f"field '{described.name}' has parts", _expected(described), value)
            return
        if not isinstance(value, Scalar):
            self._misfit(entry, path, f"field '{described.name}' is a single value", _expected(described), value)
        elif described.enum_type is not None:
            self._enum(entry, value, described, path)
        elif not _fits(value, described, self._pbtxt):
            expected = _expected(described)
            self._misfit(entry, path, f"field '{described.name}' expects {expected}", expected, value)

    def _enum(self, entry: Entry, value: Scalar, described: Any, path: str) -> None:
        names = list(described.enum_type.values_by_name)
        word = str(value.value)
        if value.kind is Kind.NUMBER or (value.kind is Kind.WORD and word in names):
            return
        if not self._pbtxt and value.kind is Kind.STRING and word.upper() in names:
            return
        kin = _nearest(word.upper(), names)
        hint = f"; did you mean '{kin}'?" if kin else ""
        text = f"field '{described.name}' has no value '{word}'{hint}"
        self._misfit(entry, path, text, f"one of {', '.join(names)}", value)

    def _unknown(self, entry: Entry, descriptor: Any, prefix: str) -> None:
        names = [each.name for each in descriptor.fields]
        home = _home(entry.name, descriptor, prefix) or _home(entry.name, ModelConfig.DESCRIPTOR)
        kin = "" if home else _nearest(entry.name, names)
        where = f"'{prefix.rstrip('.')}'" if prefix else "a config"
        text = f"{where} has no field '{entry.name}'"
        if kin:
            text += f"; did you mean '{kin}'?"
        elif home:
            text += f"; it belongs to '{home}'"
        path, meant = prefix + entry.name, prefix + kin if kin else ""
        expected = f"one of {', '.join(sorted(names))}"
        given = _shown(entry.value)
        self.found.misfits.append(Misfit(path, text, expected, entry.line, entry.column, entry, meant, given))

    def _misfit(self, entry: Entry, path: str, message: str, expected: str, value: Value | None = None) -> None:
        place = value or entry
        if isinstance(value, Scalar) and "did you mean" not in message:
            message += f"; got {_short(value.text)}"
        given = _shown(place if not isinstance(place, Entry) else place.value)
        self.found.misfits.append(Misfit(path, message, expected, place.line, place.column, entry, given=given))


def _fits(value: Scalar, described: Any, pbtxt: bool) -> bool:
    kind = _type(described)
    text = str(value.value)
    if kind in ("string", "bytes"):
        return value.kind is Kind.STRING
    if kind == "bool":
        return value.kind is Kind.BOOL or (pbtxt and value.kind is not Kind.STRING and text in _TRUTHS)
    if pbtxt and value.kind is Kind.STRING:
        return False
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        try:
            number = int(text.replace(" ", ""), 0) if value.kind is not Kind.BOOL else None
        except ValueError:
            number = int(float(text)) if value.kind is Kind.NUMBER and _is_whole(text) else None
        return number is not None and low <= number <= high
    if value.kind is Kind.BOOL:
        return False
    return bool(_NUMBER.fullmatch(text.replace(" ", ""))) or text.lstrip("- ").lower() in _NO_NUMBERS


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except ValueError:
        return False


def _type(described: Any) -> str:
    names = {getattr(described, f"TYPE_{name.upper()}"): name for name in (*_INTEGERS, "string", "bytes", "bool")}
    return names.get(described.type, "number")


def _expected(described: Any) -> str:
    """What a field takes, in words."""
    if described.message_type is not None:
        return f"fields of {described.message_type.name}"
    if described.enum_type is not None:
        return f"one of {', '.join(described.enum_type.values_by_name)}"
    kind = _type(described)
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        return f"a whole number from {low} to {high}" if low else f"a whole number from 0 to {high}"
    return {"string": "a text in quotes", "bytes": "a text in quotes", "bool": "true or false"}.get(kind, "a number")


def _nearest(name: str, names: list[str]) -> str:
    folded = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def _home(name: str, descriptor: Any, path: str = "", depth: int = 0) -> str:
    """The nearest other place in a config where there is a field of that name, or nothing."""
    below = [(each, each.message_type) for each in descriptor.fields if each.message_type is not None]
    for each, inner in below:
        if name in inner.fields_by_name and not is_map(each):
            return path + str(each.name)
    if depth > 2:
        return ""
    found = (_home(name, inner, f"{path}{each.name}.", depth + 1) for each, inner in below if not is_map(each))
    return next((each for each in found if each), "")


def _shown(value: Value) -> str:
    """A value in one line; of what has parts, only that it has."""
    if isinstance(value, Scalar):
        return _short(value.text)
    if isinstance(value, Many) and all(isinstance(item, Scalar) for item in value.items):
        return _short("[" + ", ".join(_shown(item) for item in value.items) + "]")
    return "[ … ]" if isinstance(value, Many) else "{ … }"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else text[: _SHOWN_LETTERS - 1] + "…"
