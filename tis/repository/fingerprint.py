"""By what a model version is told from what it was before: its files."""

import hashlib
import os
from pathlib import Path


def fingerprint(version_directory: Path) -> str:
    """The same for the same files, by their names, sizes and times of change.

    Contents are not read: models are large. Files that an interpreter makes beside its sources do not count.
    """
    seen = hashlib.sha256()
    for folder, folders, files in os.walk(version_directory):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = Path(folder, name)
            try:
                state = path.stat()
            except OSError:
                continue
            shown = path.relative_to(version_directory).as_posix()
            seen.update(f"\0{shown}\0{state.st_size}\0{state.st_mtime_ns}".encode(errors="surrogateescape"))
    return seen.hexdigest()
