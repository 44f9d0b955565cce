"""Reading a `config.pbtxt`: text in, ModelConfig out, and one clear message where that fails. No defaults, no checks."""

from pathlib import Path

from google.protobuf import text_format

from tis.config.proto import Message, ModelConfig
from tis.errors import TisError, internal, not_found


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
        raise _unreadable(path, _place(error)) from error
    except (ValueError, TypeError, RecursionError) as error:
        # Not documented, but the parser is pure Python and lets such through for some broken literals and deep nesting.
        raise _unreadable(path, str(error)) from error
    return config


def read_config(path: Path, *, missing_ok: bool) -> tuple[Message, bool]:
    """The ModelConfig of a file, and whether there is such a file.

    A missing file gives an empty config where `missing_ok`: Triton allows it while auto-complete is on
    (model_repository_manager, InitializeModelInfo).

    Raises:
        TisError: NOT_FOUND when the file is missing and must not be; INTERNAL when it cannot be read or parsed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if missing_ok:
            return ModelConfig(), False
        raise not_found(
            f"failed to open text file for read {path}: No such file or directory; with auto-complete disabled "
            "a model must bring its config.pbtxt"
        ) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is not UTF-8") from error
    except OSError as error:
        raise internal(f"failed to open text file for read {path}: {error.strerror}") from error
    return parse_text(text, path), True


def _place(error: text_format.ParseError) -> str:
    line, column = error.GetLine(), error.GetColumn()
    text = str(error)
    if line is None:
        return text
    if column is None:
        return f"line {line}: {text.removeprefix(f'{line} : ')}"
    return f"line {line}, column {column}: {text.removeprefix(f'{line}:{column} : ')}"


def _unreadable(path: Path | str, detail: str) -> TisError:
    return internal(f"failed to read text proto from {path}: {detail}")
