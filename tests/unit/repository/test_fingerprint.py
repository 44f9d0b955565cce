"""A model version's fingerprint changes whenever its files do."""

import os
from pathlib import Path

from tis.repository.fingerprint import fingerprint


def write(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "data" / "weights").write_bytes(b"weights")
    for path in (folder / "model.onnx", folder / "data" / "weights"):
        os.utime(path, ns=(1, 1))
    return folder


def test_the_same_files_have_the_same_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    assert fingerprint(write(tmp_path / "a")) == fingerprint(write(tmp_path / "b"))


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    seen = {fingerprint(folder)}
    os.utime(folder / "model.onnx", ns=(2, 2))
    seen.add(fingerprint(folder))
    (folder / "model.onnx").write_bytes(b"longer model")
    os.utime(folder / "model.onnx", ns=(2, 2))
    seen.add(fingerprint(folder))
    (folder / "data" / "weights").rename(folder / "data" / "other")
    seen.add(fingerprint(folder))
    (folder / "data" / "other").unlink()
    seen.add(fingerprint(folder))
    assert len(seen) == 5


def test_what_an_interpreter_leaves_beside_its_sources_does_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "m")
    before = fingerprint(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model.pyc").write_bytes(b"x")
    assert fingerprint(folder) == before


def test_a_version_without_files_has_a_fingerprint_too(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "missing") == fingerprint(tmp_path / "missing")
