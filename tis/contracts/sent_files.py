"""Files that a client sends along with the load of a model: written into a directory that stands for the model's own.

The directory lies in the server's private runtime directory, so what nobody removes goes with the server.
"""

import base64
import binascii
import posixpath
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PREFIX: Final = "model-"


class FilesRefusedError(Exception):
    """The files cannot make a model's directory; the message says why."""


def write_files(parent: Path, files: Mapping[str, bytes | str]) -> Path:
    """A new directory below `parent` with these files.

    Args:
        parent: where the directory is made.
        files: content by path, which is relative to the directory whether or not it begins with a slash, and may not
            lead out of it. Text is base64; line ends in it, and that it ends without its padding, are no fault.

    Raises:
        FilesRefusedError: a path leads out of the directory or is no path for a file, a content is not base64, or the
            disk does not take it. Then nothing is left behind.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        for path, content in files.items():
            _write(folder, path, content)
    except BaseException:
        remove_files(folder)
        raise
    return folder


def remove_files(folder: Path) -> None:
    """Remove what `write_files` made."""
    shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, path: str, content: bytes | str) -> None:
    inside = posixpath.normpath(path.lstrip("/"))
    if inside.split("/", 1)[0] == "..":
        raise FilesRefusedError(
            f"Invalid file parameter 'file:{path}' with normalized path '{inside}' must stay within model directory."
        )
    if inside == "." or path.endswith("/") or "\0" in path:
        raise FilesRefusedError(f"Invalid file parameter 'file:{path}', expected the path of a file")
    data = _decoded(path, content) if isinstance(content, str) else content
    target = folder / inside
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except (OSError, ValueError) as error:
        # The system's words name the directory, which is nobody's business but the server's.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FilesRefusedError(f"Invalid file parameter 'file:{path}': {reason}") from None


def _decoded(path: str, text: str) -> bytes:
    plain = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise FilesRefusedError(f"Invalid file parameter 'file:{path}', expected its content in base64") from None
