"""The reference's answers: a file for each file of cases, a line for each case."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

_HERE: Final = Path(__file__).parent


@cache
def recorded(noun: str) -> dict[str, list[dict[str, Any]]]:
    """Answers by the name of the case."""
    path = _HERE / f"{noun}.json"
    answers: dict[str, list[dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}
    return answers


def write(noun: str, answers: Mapping[str, list[dict[str, Any]]]) -> None:
    """Replace what is recorded of a noun."""
    lines = [f"{json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}" for name, each in answers.items()]
    (_HERE / f"{noun}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    recorded.cache_clear()
