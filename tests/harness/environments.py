"""Python environments for models, made when the tests run, and what tells whether an index of packages can be reached."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.python_models import PythonModel

#: Answers with what the Python is that it runs in.
TELLS: Final = PythonModel(
    """\
import json, os, sys
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "MODULE", "data_type": "TYPE_STRING", "dims": [1]})
        config.add_output({"name": "TOLD", "data_type": "TYPE_STRING", "dims": [1]})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args):
        self.dir = pb_utils.get_model_dir()
        self.config = json.loads(args["model_config"])

    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(each, "MODULE").as_numpy()[0]) for each in requests]

    def answer(self, module):
        told = {"prefix": sys.prefix, "version": sys.version_info[:2], "dir": self.dir, "name": __name__, "file": __file__}
        told["environment"] = {name: os.environ.get(name, "") for name in ("PATH", "VIRTUAL_ENV", "OF_ARCHIVE")}
        told["runtime"], told["parameters"] = self.config["runtime"], self.config["parameters"]
        try:
            told["module"] = getattr(__import__(module.decode()), "WORD", "there")
        except ImportError as error:
            told["module"] = type(error).__name__
        return pb_utils.InferenceResponse([pb_utils.Tensor("TOLD", np.array([json.dumps(told)], object))])
""",
    "",
)


def parameters(**texts: object) -> str:
    """Parameters of a config; `__` stands for a dot."""
    return "".join(
        f'parameters: {{ key: "{key.replace("__", ".")}" value: {{ string_value: "{text}" }} }}\n'
        for key, text in texts.items()
    )


def write(repository: Path, name: str, config: str, **files: str) -> Path:
    """A model that tells, with further lines of its config, and files beside that; `_` stands for a dot. Gives its path."""
    TELLS.write(repository, name)
    path = repository / name
    (path / "config.pbtxt").write_text((path / "config.pbtxt").read_text() + config)
    for file, text in files.items():
        (path / file.replace("_", ".")).write_text(text)
    return path


def virtual_environment(folder: Path, word: str) -> Path:
    """One that has this interpreter's packages and a module `of_environment`, whose WORD is this."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "of_environment.py").write_text(f"WORD = {word!r}\n")
    numpy = Path(np.__file__).parent
    # The real thing, and not this environment's folder, which has everything.
    for part in (numpy, numpy.with_name("numpy.libs")):
        if part.exists():
            (packages / part.name).symlink_to(part)
    return folder


def packed(environment: Path, archive: Path) -> Path:
    """The same as an archive, as `conda-pack` lays it out: with a script that makes it at home where it is unpacked."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(environment, ".")
        for name, text in (
            ("bin/activate", "export OF_ARCHIVE=1\n"),
            ("bin/conda-unpack", "import sys\nopen(sys.prefix + '/unpacked', 'w').close()\n"),
        ):
            script = archive.with_name("script")
            script.write_text(text)
            tar.add(script, name)
    return archive


@cache
def other_python() -> Path:
    """An interpreter of another minor version that workers support; skips the test where there is none."""
    for minor in (10, 12, 13, 14):
        name = f"python3.{minor}"
        places = [shutil.which(name), *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}")]
        for place in places if minor != sys.version_info[1] else []:
            if place and subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode == 0:
                return Path(place)
    pytest.skip("no Python of another minor version is installed, of those from 3.10 on")


@cache
def need_packages() -> None:
    """Skips the test where pip finds no index of packages."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--retries=0", "-q", "-d"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*command, folder, "iniconfig"], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"pip finds no packages: {done.stderr.strip().splitlines()[-1:]}")
