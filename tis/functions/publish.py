"""Makes a model repository of the functions of a file: `python -P -m tis.functions.publish FILE REPOSITORY`.

A process of its own, since the file is its author's code, which must not run in the supervisor. A model is a directory like
any other, with a whole config and a `model.py` that takes the function from the file. Directories of functions that the file
has no more are removed; what has not changed is left alone, so that it is not loaded again. Errors go to standard error.
"""

import hashlib
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Final

from tis.functions.config import full_config
from tis.functions.declaration import Declaration
from tis.functions.file import declarations_of
from tis.functions.specs import DeclarationError

_MODEL: Final = """\
\"\"\"Made by `tis serve`: model {name} is a function of {file}, whose content has the digest {digest}.\"\"\"

from tis.functions.file import function_of

function = function_of({file}, {name})
"""


def publish(file: Path, repository: Path) -> list[str]:
    """Write the models of a file; gives their names.

    Raises:
        DeclarationError: the file declares none.
        Exception: whatever the file raises when it is imported.
    """
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    declared = declarations_of(file)
    if not declared:
        raise DeclarationError(f"{file} declares no model: put `@tis.model(...)` before a function")
    repository.mkdir(parents=True, exist_ok=True)
    for name, each in declared.items():
        _write(each, file, digest, repository / name)
    for folder in repository.iterdir():
        if folder.name not in declared:
            shutil.rmtree(folder)
    return list(declared)


def _write(declared: Declaration, file: Path, digest: str, folder: Path) -> None:
    (folder / "1").mkdir(parents=True, exist_ok=True)
    source = _MODEL.format(name=repr(declared.name), file=repr(str(file)), digest=digest)
    _replace(folder / "1" / "model.py", source)
    _replace(folder / "config.json", json.dumps(full_config(declared), indent=2, ensure_ascii=False))


def _replace(path: Path, text: str) -> None:
    """Write at once, and only where something changes: the repository may be looked at meanwhile."""
    if path.exists() and path.read_text() == text:
        return
    unborn = path.with_name(f".{path.name}")
    unborn.write_text(text)
    unborn.rename(path)


def main() -> int:
    """Publish what the arguments say; 1 with the reason where the file is no good."""
    file, repository = (Path(word).absolute() for word in sys.argv[1:])
    sys.dont_write_bytecode = True
    try:
        publish(file, repository)
    except BaseException as error:  # noqa: BLE001 - whatever the file raises, SystemExit too, is told
        sys.stderr.write(_told(error, file))
        return 1
    return 0


def _told(error: BaseException, file: Path) -> str:
    """A traceback that begins in the file, where the error comes from its code, and a last line that says where in it."""
    if isinstance(error, OSError) and error.filename in (file, str(file)) and not file.is_file():
        return f"{file}: {error.strerror}\n"
    frames = traceback.extract_tb(error.__traceback__)
    own = [number for number, frame in enumerate(frames) if frame.filename == str(file)]
    is_unread = isinstance(error, SyntaxError) and error.filename == str(file)
    line = frames[own[-1]].lineno if own else getattr(error, "lineno", None) if is_unread else None
    words = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, DeclarationError):
        return f"{words}\n" if str(file) in words else f"{file}:{line}: {words}\n"
    shown = traceback.TracebackException.from_exception(error)
    if own or is_unread:
        shown.stack = traceback.StackSummary.from_list(frames[own[0] :] if own else [])
    at = f"{file}:{line}" if line else str(file)
    return f"{''.join(shown.format())}{at}: {type(error).__name__}: {words}\n"


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    sys.stdout.flush()
    # Threads that the file has started must not keep the server waiting.
    os._exit(code)
