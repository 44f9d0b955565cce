"""What serves the models of a backend, and what is said where nothing does; the texts are those of Triton 2.51."""

from pathlib import Path

import pytest

from tis.config.proto import ModelConfig
from tis.errors import Code, TisError
from tis.repository.backend_library import BackendLibrary, find_backend

MODEL = Path("/models/m")


def backends(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def found(folder: Path, backend: str, runtime: str = "") -> BackendLibrary:
    return find_backend(ModelConfig(name="m", backend=backend, runtime=runtime), folder)


def refusal(library: BackendLibrary) -> TisError:
    with pytest.raises(TisError) as caught:
        library.check("m", MODEL, 1)
    return caught.value


def test_a_python_file_in_the_directory_of_a_backend_serves_its_models(tmp_path: Path) -> None:
    folder = backends(tmp_path, "mine/model.py")
    for runtime in ("", "model.py"):
        library = found(folder, "mine", runtime)
        library.check("m", MODEL, 1)
        assert (library.file, library.environment) == (folder / "mine" / "model.py", None)


def test_an_archive_beside_it_is_the_environment_of_its_models(tmp_path: Path) -> None:
    folder = backends(tmp_path, "mine/model.py", "mine/pb_exec_env_model.py.tar.gz")
    assert found(folder, "mine").environment == folder / "mine" / "pb_exec_env_model.py.tar.gz"


def test_what_comes_with_the_server_comes_first_unless_a_python_file_is_asked_for(tmp_path: Path) -> None:
    folder = backends(tmp_path, "identity/model.py")
    for runtime in ("", "libtriton_identity.so"):
        library = found(folder, "identity", runtime)
        library.check("m", MODEL, 1)
        assert library.file is None
    assert found(folder, "identity", "model.py").file == folder / "identity" / "model.py"


@pytest.mark.parametrize(
    ("backend", "runtime", "text"),
    [
        (
            "mine",
            "",
            "unable to find backend library for backend 'mine', try specifying runtime on the model configuration.",
        ),
        (
            "mine",
            "model.py",
            "unable to find Python backend based backend library 'model.py' for model 'm', searched: '{}/mine/model.py'",
        ),
        (
            "python",
            "model.py",
            "unable to find Python backend based backend library 'model.py' for model 'm', searched: '{}/python/model.py'",
        ),
        (
            "mine",
            "libtriton_x.so",
            "unable to find backend library 'libtriton_x.so' for model 'm', searched: '/models/m/1' '/models/m' '{}/mine' ",
        ),
        (
            "../up",
            "",
            "unable to find backend library for backend '../up', try specifying runtime on the model configuration.",
        ),
    ],
)
def test_a_backend_that_is_not_there_is_told_in_tritons_words(
    backend: str, runtime: str, text: str, tmp_path: Path
) -> None:
    folder = backends(tmp_path / "backends", "../up/model.py")
    error = refusal(found(folder, backend, runtime))
    assert (error.code, error.message) == (Code.INVALID_ARG, text.format(folder))


@pytest.mark.parametrize(("file", "runtime"), [("libtriton_mine.so", ""), ("other.py", "other.py")])
def test_a_library_of_tritons_is_said_to_be_one(file: str, runtime: str, tmp_path: Path) -> None:
    folder = backends(tmp_path, f"mine/{file}")
    error = refusal(found(folder, "mine", runtime))
    assert error.code is Code.UNSUPPORTED
    assert f"backend 'mine' is {folder}/mine/{file}, which is made for Triton's own process" in error.message
