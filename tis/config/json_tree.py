"""JSON as a tree that knows its lines, and a tree of JSON or YAML as plain data."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from tis.config.tree import DEEPEST, Block, Entry, Kind, Lines, Many, Scalar, TreeError, Value

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_AS_THEY_ARE: Final[Mapping[tuple[int, int], str]] = {}
_ATOM: Final = re.compile(r"[-+.\w]+")


def json_tree(text: str) -> Block:
    """The tree of a JSON object.

    Raises:
        TreeError: the text is no JSON, no object, or nested too deeply.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise TreeError(error.msg, error.lineno, error.colno) from None
    except (RecursionError, ValueError) as error:
        raise TreeError(str(error), 1, 1) from None
    if not isinstance(document, dict):
        raise TreeError("expected a JSON object", 1, 1)
    tree = _Reader(text).value(0)
    if not isinstance(tree, Block):
        raise TreeError("expected a JSON object", 1, 1)
    return tree


class _Reader:
    """Goes through a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._at = 0

    def value(self, depth: int) -> Value:
        self._skip()
        start, place = self._at, self._lines.place(self._at)
        if depth > DEEPEST:
            raise TreeError(f"expected no more than {DEEPEST} levels", *place)
        letter = self._text[start]
        if letter == "{":
            return Block(self._entries(depth), *place)
        if letter == "[":
            return Many(self._items(depth), *place)
        if letter == '"':
            content = self._string()
            return Scalar(Kind.STRING, self._text[start : self._at], content, *place)
        found = _ATOM.match(self._text, start)
        text = found[0] if found else letter
        self._at = start + len(text)
        return _atom(text, *place)

    def _entries(self, depth: int) -> tuple[Entry, ...]:
        found: list[Entry] = []
        self._at += 1
        while not self._closes("}"):
            place = self._lines.place(self._at)
            name = self._string()
            self._skip()
            self._at += 1
            found.append(Entry(name, self.value(depth + 1), *place))
        return tuple(found)

    def _items(self, depth: int) -> tuple[Value, ...]:
        found: list[Value] = []
        self._at += 1
        while not self._closes("]"):
            found.append(self.value(depth + 1))
        return tuple(found)

    def _closes(self, letter: str) -> bool:
        """True, and beyond it, at the closing letter; else at the next element."""
        self._skip()
        if self._text[self._at] == ",":
            self._at += 1
            self._skip()
        if self._text[self._at] != letter:
            return False
        self._at += 1
        return True

    def _string(self) -> str:
        content, self._at = _DECODER.raw_decode(self._text, self._at)
        return str(content)

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at


def _atom(text: str, line: int, column: int) -> Scalar:
    value: Any = json.loads(text)
    if value is None:
        return Scalar(Kind.NULL, text, None, line, column)
    return Scalar(Kind.BOOL if isinstance(value, bool) else Kind.NUMBER, text, value, line, column)


def plain(value: Value, names: Mapping[tuple[int, int], str] = _AS_THEY_ARE) -> Any:
    """A tree as dicts, lists and scalars.

    Args:
        value: the tree.
        names: other names for entries, by the line and column where they stand; empty for those to leave out.
    """
    if isinstance(value, Block):
        entries = [(names.get((entry.line, entry.column), entry.name), entry.value) for entry in value.entries]
        return {name: plain(inner, names) for name, inner in entries if name}
    if isinstance(value, Many):
        return [plain(item, names) for item in value.items]
    return value.value
