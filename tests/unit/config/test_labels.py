"""Label files must be readable, and inside the model's directory, before a model is served."""

from pathlib import Path

import pytest

from tis.config.labels import check_labels
from tis.config.source import parse_text
from tis.errors import Code, TisError


def check(folder: Path, name: str) -> None:
    check_labels(
        parse_text(f'name: "m" output {{ name: "Y" label_filename: "{name}" }} output {{ name: "Z" }}', "p"), folder
    )


def test_a_label_file_in_the_models_directory_is_good(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("labels.txt", "more/labels.txt"):
        (tmp_path / name).write_text("cat\n")
        check(tmp_path, name)


def test_a_label_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TisError) as caught:
        check(tmp_path, "none.txt")
    text = f"failed to open text file for read {tmp_path}/none.txt: No such file or directory"
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, text)


def test_a_label_file_elsewhere_is_refused_however_it_is_reached(tmp_path: Path) -> None:
    model = tmp_path / "m"
    model.mkdir()
    (tmp_path / "secret").write_text("secret\n")
    (model / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", f"{tmp_path}/secret", "link"):
        with pytest.raises(TisError, match="lies outside of the directory of model 'm'"):
            check(model, name)
