"""Environments in archives, as `conda-pack` makes them: unpacked once for each file as it was at one moment."""

import gzip
import hashlib
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from tis.environments.keeping import kept
from tis.environments.running import Say, run
from tis.errors import internal

_TELL_EVERY_S: Final = 10.0
_MIB: Final = 1 << 20


def unpacked(archive: Path, folder: Path, say: Say, environment: Mapping[str, str]) -> Path:
    """The directory that holds what is in an archive.

    Args:
        archive: a tar file, compressed or not; its path is canonical.
        folder: where unpacked ones are kept.
        say: takes progress.
        environment: for the programs of the archive that are run to make it at home in its place.

    Raises:
        TisError: INTERNAL, where it cannot be unpacked.
    """
    state = archive.stat()
    told = f"{archive}\0{state.st_mtime_ns}\0{state.st_size}"
    key = f"unpacked-{hashlib.sha256(told.encode()).hexdigest()[:32]}"

    def make(target: Path) -> None:
        say(f"unpacking {archive} ({state.st_size // _MIB} MiB)")
        target.mkdir()
        _unpack(archive, target, say)
        script = target / "bin" / "conda-unpack"
        if script.exists():
            # What conda-pack packs knows the place that it was in; this tells it the one where it is now.
            run(f"{script}", [target / "bin" / "python", script], say, environment=environment)

    return kept(folder, key, make, say)


def _unpack(archive: Path, target: Path, say: Say) -> None:
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file) as tar:
            members = _told(tar, file, archive.stat().st_size, say)
            if hasattr(tarfile, "tar_filter"):
                tar.extractall(target, members=members, filter="tar")
            else:
                tar.extractall(target, members=members)  # noqa: S202 - `_told` has looked at their names
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        text = f"archive_read_open_filename() failed. {archive} is no archive that can be unpacked: {error}"
        raise internal(text) from error


def _told(tar: tarfile.TarFile, file: BinaryIO, size_bytes: int, say: Say) -> Iterator[tarfile.TarInfo]:
    """The members; tells how far it is now and then."""
    next_s = time.monotonic() + _TELL_EVERY_S
    for member in tar:
        if Path(member.name).is_absolute() or ".." in Path(member.name).parts:
            raise tarfile.TarError(f"its member '{member.name}' lies outside of it")
        yield member
        if time.monotonic() > next_s:
            next_s = time.monotonic() + _TELL_EVERY_S
            say(f"unpacked {100 * file.tell() // max(size_bytes, 1)} %")
