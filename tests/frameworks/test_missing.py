"""What a model is told whose framework is not installed: what to install; and everything else is served."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from tests.frameworks.subjects import NAMES, subject
from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.native_models import write_identity
from tests.harness.repository import one_cpu
from tests.harness.waiting import eventually


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A directory that goes before all others, in which every framework is missing."""
    folder = tmp_path / "hidden"
    folder.mkdir()
    for name in NAMES:
        module = subject(name).module
        text = f"raise ModuleNotFoundError(\"No module named '{module}'\", name='{module}')\n"
        # One that is in a package needs the package, too.
        file = folder.joinpath(*module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.parent != folder:
            (file.parent / "__init__.py").touch()
        file.write_text(text)
    return folder


def test_a_model_whose_framework_is_missing_is_told_what_to_install_and_others_are_served(
    new_server: StartServer, tmp_path: Path, hidden: Path
) -> None:
    models = tmp_path / "models"
    write_identity(models, "echo", dims="-1")
    for name in NAMES:
        file = models / name / "1" / subject(name).filename
        file.parent.mkdir(parents=True)
        file.write_bytes(b"never read")
        subject(name).write_config(models, name, extra=one_cpu())
    path = os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH", "")]))
    server = new_server(models, "--exit-on-error=false", environment={"PYTHONPATH": path}).start()
    with contextlib.closing(GrpcFace(server)) as face:

        def reasons() -> dict[str, str]:
            index = face.ask("get_model_repository_index")["models"]
            return {each["name"]: each["reason"] for each in index if each["reason"]}

        # The frontend hears of the last one just after the ports are open.
        told = eventually(lambda: len(found := reasons()) == len(NAMES) and found, "all failed models have a reason")
        assert isinstance(told, dict)
        for name in NAMES:
            assert f"pip install 'tis[{subject(name).extra}]'" in told[name]
        values = np.arange(3, dtype=np.float32)
        assert face.infer(Call("echo", {"INPUT0": values})).outputs["OUTPUT0"].tolist() == values.tolist()
