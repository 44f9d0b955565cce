"""The variables that an environment wants its processes to have: what its `activate` script does, as in Triton."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tis.errors import internal

_ACTIVATE_S: Final = 60
_LAST_LETTERS: Final = 1000
#: What a shell sets of itself, and prompts.
_SHELLS_OWN: Final = frozenset({"_", "SHLVL", "PWD", "OLDPWD", "PS1", "CONDA_PROMPT_MODIFIER", "VIRTUAL_ENV_PROMPT"})


def activated(folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment `base` as it is once that of a folder is active.

    An environment that was moved may say that it is elsewhere: then it is the folder that counts.

    Raises:
        TisError: INTERNAL, where its script fails.
    """
    script, bash = folder / "bin" / "activate", shutil.which("bash")
    variables = _sourced(bash, script, base) if bash and script.is_file() else dict(base)
    programs = str(folder / "bin")
    path = variables.get("PATH", "")
    if path.partition(":")[0] != programs:
        variables["PATH"] = f"{programs}:{path}" if path else programs
    is_venv = (folder / "pyvenv.cfg").is_file()
    variables["VIRTUAL_ENV" if is_venv else "CONDA_PREFIX"] = str(folder)
    if not is_venv and variables.get("VIRTUAL_ENV") == base.get("VIRTUAL_ENV"):
        # That of the server.
        variables.pop("VIRTUAL_ENV", None)
    variables.pop("PYTHONHOME", None)
    return variables


def _sourced(bash: str, script: Path, base: Mapping[str, str]) -> dict[str, str]:
    command = [bash, "-c", 'source "$1" >&2 && exec env -0', "bash", str(script)]
    try:
        done = subprocess.run(
            command, env=dict(base), stdin=subprocess.DEVNULL, capture_output=True, timeout=_ACTIVATE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise internal(f"{script} did not end within {_ACTIVATE_S} s") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()[-_LAST_LETTERS:]
        raise internal(f"{script} failed (exit code {done.returncode}): {words}")
    pairs = [entry.decode("utf-8", "surrogateescape").partition("=") for entry in done.stdout.split(b"\0") if entry]
    variables = {name: value for name, _, value in pairs if name not in _SHELLS_OWN}
    return variables | {name: value for name, value in base.items() if name in _SHELLS_OWN}
