"""Protobuf text as a tree that knows its lines.

protobuf's own parser is the judge of what is a config and keeps no lines; this one only says where what it took stands, and
what else is wrong where it refused.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tis.config.tree import DEEPEST, Block, Entry, Kind, Lines, Many, Scalar, TreeError, Value

_TOKENS: Final = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>-?\s*(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?))
    |(?P<word>-?\s*[A-Za-z_]\w*)
    |(?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_CLOSING: Final = {"{": "}", "<": ">"}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def pbtxt_tree(text: str) -> Block:
    """The tree of a text.

    Raises:
        TreeError: it is not protobuf text, or uses parts of it that no config needs.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._tokens = list(self._scan(text))
        self._next = 0
        self._depth = 0

    def whole(self) -> Block:
        return Block(self._entries(""), 1, 1)

    def _scan(self, text: str) -> Iterator[_Token]:
        at = 0
        while at < len(text):
            found = _TOKENS.match(text, at)
            if found is None:
                raise TreeError(f"unexpected '{text[at]}'", *self._lines.place(at))
            if found.lastgroup != "skip":
                yield _Token(str(found.lastgroup), found[0], at, found.end())
            at = found.end()
        yield _Token("end", "", at, at)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _took(self, *marks: str) -> bool:
        if self._token.kind == "mark" and self._token.text in marks:
            self._next += 1
            return True
        return False

    def _wrong(self, expected: str) -> TreeError:
        got = f"'{self._token.text}'" if self._token.text else "the end"
        return TreeError(f"expected {expected}, got {got}", *self._lines.place(self._token.start))

    def _entries(self, closing: str) -> tuple[Entry, ...]:
        found: list[Entry] = []
        while True:
            token = self._token
            if token.kind == ("mark" if closing else "end") and token.text == closing:
                if closing:
                    self._next += 1
                return tuple(found)
            if token.kind != "word":
                raise self._wrong("the name of a field")
            self._next += 1
            self._took(":")
            value = self._value()
            self._took(",", ";")
            found.append(
                Entry(token.text, value, *self._lines.place(token.start), token.start, self._tokens[self._next - 1].end)
            )

    def _value(self) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._wrong(f"no more than {DEEPEST} levels")
        try:
            return self._any_value()
        finally:
            self._depth -= 1

    def _any_value(self) -> Value:
        token = self._take()
        place = self._lines.place(token.start)
        if token.text in _CLOSING:
            return Block(self._entries(_CLOSING[token.text]), *place)
        if token.text == "[":
            return Many(self._items(), *place)
        if token.kind == "string":
            text = token.text
            while self._token.kind == "string":
                text += " " + self._take().text
            return Scalar(Kind.STRING, text, text[1:-1], *place)
        if token.kind == "number":
            return Scalar(Kind.NUMBER, token.text, token.text, *place)
        if token.kind == "word":
            return Scalar(Kind.WORD, token.text, token.text, *place)
        self._next -= 1
        raise self._wrong("a value")

    def _items(self) -> tuple[Value, ...]:
        if self._took("]"):
            return ()
        items = [self._value()]
        while not self._took("]"):
            if not self._took(","):
                raise self._wrong("',' or ']'")
            items.append(self._value())
        return tuple(items)
