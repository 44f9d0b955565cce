"""The examples of a page: its fenced blocks, so that tests run what readers are told."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED: Final = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block. `name` is the file that its first line names, if any."""

    language: str
    text: str
    name: str


def blocks(page: str) -> list[Block]:
    """All of a page, by its path in the repository."""
    found = []
    for language, text in _BLOCK.findall((ROOT / page).read_text()):
        named = _NAMED.match(text)
        found.append(Block(language, text, named[1] if named else ""))
    return found
