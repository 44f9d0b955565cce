"""This machine as a place to look at models: its GPUs, the backends installed, and a child process that reads model files."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tis.config.proto import ModelConfig
from tis.config.resolve import Surroundings
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import Code, TisError, internal
from tis.repository.inspection import Loaded
from tis.supervisor.machine import Machine, backend_uses_gpu, this_machine

_LAST_WORDS_LETTERS: Final = 2000


@dataclass(frozen=True)
class LocalBench:
    """What `tis check` and `tis config` look at models with."""

    #: GPUs that the server would have; None for those of this machine.
    gpus: int | None = None
    auto_complete: bool = True
    #: Whether model files are read.
    loads: bool = False
    load_timeout_s: float = 600.0

    def surroundings(self, backend: str) -> Surroundings:
        """What the server would have here."""
        return Surroundings(
            gpu_count=len(self._machine.gpus),
            backend_uses_gpu=backend_uses_gpu(backend) or self.gpus is not None,
            auto_complete=self.auto_complete,
        )

    def has_backend(self, backend: str) -> bool:
        """True where a worker would find the backend's module. It is not imported: frameworks are for workers."""
        package = importlib.util.find_spec("tis_workers")
        folders = (package.submodule_search_locations or []) if package else []
        return any((Path(folder) / "backends" / f"{backend}_backend.py").is_file() for folder in folders)

    @property
    def load(self) -> Callable[[ModelSpec, bool], Loaded] | None:
        """Reads a model file in a child process, where that is wanted."""
        return self._load if self.loads else None

    @cached_property
    def _machine(self) -> Machine:
        machine = this_machine()
        if self.gpus is None:
            return machine
        return Machine(machine.cores, tuple(str(number) for number in range(self.gpus)))

    def _load(self, spec: ModelSpec, complete: bool) -> Loaded:
        if not spec.instances:
            raise internal(f"model '{spec.name}' has no instances to load")
        order = m.encode([m.LoadModel(spec, 0, complete)])
        where = self._machine.environment(spec.instances[0], self._machine.threads_for(1))
        with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as output:
            arguments = [sys.executable, "-P", "-m", "tis_workers.inspect_model", str(answers.fileno())]
            try:
                done = subprocess.run(
                    arguments,
                    input=order,
                    stdout=output,
                    stderr=output,
                    pass_fds=[answers.fileno()],
                    env={**os.environ, **where},
                    timeout=self.load_timeout_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise internal(f"loading model '{spec.name}' took more than {self.load_timeout_s:g} s") from None
            answers.seek(0)
            answer = answers.read()
            if not answer:
                output.seek(0)
                words = output.read().decode(errors="replace").strip()[-_LAST_WORDS_LETTERS:]
                how = f"exit code {done.returncode}" if done.returncode >= 0 else f"signal {-done.returncode}"
                raise internal(f"the process that loaded model '{spec.name}' ended with {how}: {words}")
        (message,) = m.decode(answer)
        if isinstance(message, m.Loaded):
            return Loaded(message.signature, ModelConfig.FromString(message.proposed) if message.proposed else None)
        if isinstance(message, m.LoadFailed):
            raise TisError(Code(message.code), message.text)
        raise internal(f"the process that loaded model '{spec.name}' gave no answer that can be read")
