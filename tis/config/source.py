"""Reading a config file: protobuf text, JSON or YAML in, ModelConfig out, and where each field stands. No checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from google.protobuf import text_format

from tis.config.fault import ConfigFault, Place, Report, raise_it, tell
from tis.config.fit import Mark, Misfit, fit
from tis.config.json_form import from_document
from tis.config.json_tree import json_tree, plain
from tis.config.pbtxt_tree import pbtxt_tree
from tis.config.proto import Message, ModelConfig
from tis.config.tree import Block, TreeError
from tis.config.yaml_tree import yaml_tree
from tis.errors import Code, TisError, internal, not_found

#: Ends of the names of config files, in the order in which they are looked for.
SUFFIXES: Final = (".pbtxt", ".json", ".yaml", ".yml")
_LAST_PART: Final = re.compile(r"(\.?\w+|\[[0-9]+\]|\[\"(?:[^\"\\]|\\.)*\"\])$")
_SUBSCRIPT: Final = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class ConfigSource:
    """The text that a config came from. Lines are looked for when somebody asks."""

    #: None where there was no file: the model has none, or a client sent its config.
    path: Path | None = None
    text: str = ""

    @cached_property
    def _marks(self) -> dict[str, Mark]:
        if self.path is None:
            return {}
        try:
            return fit(_tree(self.path, self.text), pbtxt=_is_pbtxt(self.path)).marks
        except TreeError:
            return {}

    def mark(self, field: str) -> Mark | None:
        """Where a field stands, or else the nearest one around it; None where the text has neither."""
        while field:
            if field in self._marks:
                return self._marks[field]
            shorter = _LAST_PART.sub("", field)
            field = shorter if shorter != field else ""
        return None

    def _given(self, field: str) -> str:
        mark = self._marks.get(field)
        return mark.text if mark else ""

    def mark_of_kind(self, dotted: str) -> Mark | None:
        """The first place of a field named without subscripts: `instance_group.profile`."""
        same = (mark for field, mark in self._marks.items() if _SUBSCRIPT.sub("", field) == dotted)
        return next(same, None)

    def located(self, error: TisError) -> TisError:
        """The error with file and line behind its words, where it is of a field and does not have them yet."""
        if self.path is None or not isinstance(error, ConfigFault) or error.place:
            return error
        mark = self.mark(error.field)
        place = Place(self.path, mark.line, mark.column) if mark else Place(self.path)
        message = f"{error.message} ({place})"
        return ConfigFault(
            error.field,
            error.words,
            expected=error.expected,
            code=error.code,
            place=place,
            message=message,
            given=self._given(error.field),
        )


@dataclass(frozen=True)
class WrittenConfig:
    """A config as it was written."""

    config: Message
    #: False where there is no file.
    provided: bool
    source: ConfigSource = field(default_factory=ConfigSource)
    #: Fields that had to be left out, or that were meant by such: what is missing there has been told already.
    dropped: frozenset[str] = frozenset()

    @property
    def readable(self) -> bool:
        """False where nothing is known of what the config says."""
        return "" not in self.dropped

    def told(self, field: str) -> bool:
        """True for a field that was left out, of which its reader has been told, or one inside of such a field."""
        return not self.readable or any(
            field == each or field.startswith((f"{each}.", f"{each}[")) for each in self.dropped
        )


#: Nothing is known of what a config says: its reader has been told why.
NOTHING: Final = frozenset({""})


def parse_text(text: str, path: Path | str) -> Message:
    """ModelConfig from protobuf text. Strict: an unknown field, or a field given twice, is a failure.

    Raises:
        TisError: INTERNAL, as Triton has it, in Triton's words and then the place: `failed to read text proto from <path>:
            line 3, column 1: …`.
    """
    config = ModelConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise _refused_by_protobuf(error, text, path) from error
    except (ValueError, TypeError, RecursionError) as error:
        # Not documented, but the parser is pure Python and lets such through for some broken literals and deep nesting.
        raise internal(f"failed to read text proto from {path}: {error}") from error
    return config


def parse_document(text: str, path: Path) -> Message:
    """ModelConfig from JSON or YAML, as the name of the file says. Field names are those of protobuf text.

    Raises:
        TisError: INTERNAL: the text cannot be read, or does not fit; with the line.
    """
    tree = _tree_or_fault(path, text)
    misfits = fit(tree, pbtxt=False).misfits
    if misfits:
        raise _fault_of(misfits[0], path)
    return _from_plain(tree, path, {})


def read_config(path: Path, *, missing_ok: bool, report: Report = raise_it) -> WrittenConfig:
    """The config of a file.

    A missing file gives an empty config where `missing_ok`: Triton allows it while auto-complete is on
    (model_repository_manager, InitializeModelInfo). Where `report` returns, what can be read is given without the rest.

    Raises:
        TisError: by `report`: NOT_FOUND when the file is missing and must not be; INTERNAL when it cannot be read or parsed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if not missing_ok:
            report(
                not_found(
                    f"failed to open text file for read {path}: No such file or directory; with auto-complete disabled "
                    "a model must bring its config.pbtxt"
                )
            )
        return WrittenConfig(ModelConfig(), provided=False, dropped=frozenset() if missing_ok else NOTHING)
    except UnicodeDecodeError as error:
        report(internal(f"{_failed(path)}: byte {error.start} is not UTF-8"))
        return WrittenConfig(ModelConfig(), True, ConfigSource(path), NOTHING)
    except OSError as error:
        report(internal(f"failed to open text file for read {path}: {error.strerror}"))
        return WrittenConfig(ModelConfig(), True, ConfigSource(path), NOTHING)
    source = ConfigSource(path, text)
    try:
        return WrittenConfig(parse_text(text, path) if _is_pbtxt(path) else parse_document(text, path), True, source)
    except TisError as error:
        return _what_can_be_read(source, path, error, report)


def _what_can_be_read(source: ConfigSource, path: Path, error: TisError, report: Report) -> WrittenConfig:
    """Reports everything that does not fit, or the error where nothing more is known; gives the rest of the config."""
    try:
        tree = _tree(path, source.text)
    except TreeError:
        report(error)
        return WrittenConfig(ModelConfig(), True, source, NOTHING)
    misfits = fit(tree, pbtxt=_is_pbtxt(path)).misfits
    report(error)
    line = error.place.line if isinstance(error, ConfigFault) and error.place else 0
    told = next((misfit for misfit in misfits if misfit.line == line), None)
    tell((_fault_of(misfit, path) for misfit in misfits if misfit is not told), report)
    dropped = frozenset(name for misfit in misfits for name in (misfit.path, misfit.meant) if name)
    rest = error
    # What was probably meant, so that the rest is checked beside it; where that does not fit either, without it.
    for rename in (True, False):
        try:
            return WrittenConfig(_repaired(source.text, tree, misfits, path, rename=rename), True, source, dropped)
        except TisError as another:
            rest = another
    if rest.message != error.message:
        report(rest)
    return WrittenConfig(ModelConfig(), True, source, NOTHING)


def _repaired(text: str, tree: Block, misfits: list[Misfit], path: Path, *, rename: bool) -> Message:
    """The config with other names for entries that do not fit, or without them."""
    names = {id(each): each.meant.rpartition(".")[2] if rename else "" for each in misfits}
    if not _is_pbtxt(path):
        return _from_plain(tree, path, {(each.entry.line, each.entry.column): names[id(each)] for each in misfits})
    letters = list(text)
    for misfit in misfits:
        entry, name = misfit.entry, names[id(misfit)]
        if name:
            letters[entry.start : entry.start + len(entry.name)] = [name, *[""] * (len(entry.name) - 1)]
            continue
        for at in range(entry.start, entry.end):
            letters[at] = "\n" if letters[at] == "\n" else " "
    return parse_text("".join(letters), path)


def _refused_by_protobuf(error: text_format.ParseError, text: str, path: Path | str) -> TisError:
    line, column = error.GetLine(), error.GetColumn()
    words = str(error)
    if line is None:
        return internal(f"{_failed(path)}: {words}")
    if column is None:
        return internal(f"{_failed(path)}: line {line}: {words.removeprefix(f'{line} : ')}")
    words = words.removeprefix(f"{line}:{column} : ")
    try:
        misfits = fit(pbtxt_tree(text), pbtxt=True).misfits
    except TreeError:
        misfits = []
    misfit = next((each for each in misfits if each.line == line), None)
    field, expected, hint, short, given = "", "", "", words, ""
    if misfit is not None:
        _, semicolon, rest = misfit.message.partition("; ")
        words = words.rstrip(".") if rest.startswith(("did you", "it belongs")) else words
        field, expected, hint = misfit.path, misfit.expected, semicolon + rest if not rest.startswith("got ") else ""
        short, given = misfit.message, misfit.given
    place = Place(path, line, column)
    message = f"{_failed(path)}: line {line}, column {column}: {words}{hint}"
    return ConfigFault(field, short, expected=expected, code=Code.INTERNAL, place=place, message=message, given=given)


def _fault_of(misfit: Misfit, path: Path) -> ConfigFault:
    place = Place(path, misfit.line, misfit.column)
    message = f"{_failed(path)}: line {misfit.line}, column {misfit.column}: {misfit.message}"
    return ConfigFault(
        misfit.path,
        misfit.message,
        expected=misfit.expected,
        code=Code.INTERNAL,
        place=place,
        message=message,
        given=misfit.given,
    )


def _tree(path: Path, text: str) -> Block:
    if _is_pbtxt(path):
        return pbtxt_tree(text)
    return json_tree(text) if path.suffix == ".json" else yaml_tree(text)


def _tree_or_fault(path: Path, text: str) -> Block:
    try:
        return _tree(path, text)
    except TreeError as error:
        where = f"line {error.line}, column {error.column}: " if error.line else ""
        message = f"{_failed(path)}: {where}{error.message}"
        place = Place(path, error.line, error.column)
        raise ConfigFault("", error.message, code=Code.INTERNAL, place=place, message=message) from None


def _from_plain(tree: Block, path: Path, names: Mapping[tuple[int, int], str]) -> Message:
    try:
        return from_document(plain(tree, names))
    except ValueError as error:
        raise internal(f"{_failed(path)}: {error}") from error


def _is_pbtxt(path: Path) -> bool:
    return path.suffix not in SUFFIXES[1:]


def _failed(path: Path | str) -> str:
    what = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}.get(Path(path).suffix, "text proto")
    return f"failed to read {what} from {path}"
