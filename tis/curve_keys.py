"""Keys of ZeroMQ's CURVE in files, as `zmq.auth.create_certificates` writes them. Nothing is encrypted here.

Public ones are in *.key, secret ones in *.key_secret.
"""

import os
import re
from pathlib import Path
from typing import Final

from zmq.utils import z85

from tis.errors import TisError, invalid

_KEY_BYTES: Final = 32
_LARGEST_FILE_BYTES: Final = 64 << 10


def read_secret_key(path: str) -> bytes:
    """The secret key in a file: 32 bytes.

    Raises:
        TisError: INVALID_ARG where there is none.
    """
    return _read(Path(path), "secret-key")


class KnownKeys:
    """The public keys in a folder, as they are at the moment."""

    def __init__(self, folder: str) -> None:
        self._folder: Final = Path(folder)
        self._keys: set[bytes] = set()
        #: When the folder, and the newest file in it, had changed last.
        self._state: tuple[tuple[str, int], ...] | None = None

    def read(self) -> set[bytes]:
        """All of them.

        Raises:
            TisError: INVALID_ARG where the folder or a key in it cannot be read.
        """
        try:
            return {_read(path, "public-key") for path in sorted(self._folder.iterdir()) if path.suffix == ".key"}
        except OSError as error:
            raise invalid(f"the keys in {self._folder} cannot be read: {error.strerror}") from error

    def holds(self, key: bytes) -> bool:
        """Whether a key is among them. Files that cannot be read are left out, so that one bad file locks out nobody."""
        try:
            with os.scandir(self._folder) as entries:
                state = tuple(
                    sorted((each.path, each.stat().st_mtime_ns) for each in entries if each.name.endswith(".key"))
                )
        except OSError:
            return False
        if state != self._state:
            self._keys = set()
            for path, _ in state:
                try:
                    self._keys.add(_read(Path(path), "public-key"))
                except TisError:
                    continue
            self._state = state
        return key in self._keys


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE_BYTES).decode(errors="replace")
    except OSError as error:
        raise invalid(f"the key {path} cannot be read: {error.strerror}") from error
    found = re.search(rf'^\s*{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    if found is None:
        raise invalid(f"{path} has no {name}; zmq.auth.create_certificates makes such files")
    try:
        key: bytes = z85.decode(found[1].encode())
    except (ValueError, KeyError, IndexError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise invalid(f"the {name} in {path} is no key of 40 characters")
    return key
