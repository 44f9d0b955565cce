"""Shared-memory objects of tests, gone when the test ends; made without the code that is tested."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

_FOLDER = Path("/dev/shm")
#: What names of tests' own objects begin with; no server makes such.
PREFIX = "tis-test-"
_numbers = count()


class SharedObject:
    """A POSIX shared-memory object."""

    def __init__(self, data: bytes) -> None:
        self.name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
        self.path = _FOLDER / self.name
        self.path.write_bytes(data)

    @property
    def key(self) -> str:
        """Its name as clients give it."""
        return f"/{self.name}"

    def read(self, start: int = 0, size_bytes: int | None = None) -> bytes:
        """What it holds now."""
        data = self.path.read_bytes()[start:]
        return data if size_bytes is None else data[:size_bytes]

    def write(self, data: bytes, start: int = 0) -> None:
        """Change some of it in place."""
        with self.path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    def resize(self, size_bytes: int) -> None:
        """Make it smaller or larger."""
        os.truncate(self.path, size_bytes)

    def unlink(self) -> None:
        """Take its name away."""
        self.path.unlink(missing_ok=True)


class SharedObjects:
    """Makes objects and removes them in the end."""

    def __init__(self) -> None:
        self._made: list[SharedObject] = []

    def make(self, data: bytes) -> SharedObject:
        """An object holding these bytes."""
        self._made.append(SharedObject(data))
        return self._made[-1]

    def close(self) -> None:
        """Remove them all."""
        for each in self._made:
            each.unlink()


@pytest.fixture
def shared_objects() -> Iterator[SharedObjects]:
    """Objects that end with the test."""
    objects = SharedObjects()
    yield objects
    objects.close()
