"""This machine as a place to look at models: its GPUs, the backends installed, and a child process that reads model files."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tis.config.proto import Message
from tis.config.python_models import config_text, proposed_config
from tis.config.resolve import Surroundings
from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.environments.interpreter import OWN, Interpreter
from tis.environments.keeping import chosen_folder
from tis.environments.prepare import prepare
from tis.environments.wish import wish_of
from tis.errors import Code, TisError, internal
from tis.repository.backend_library import BackendLibrary, find_backend
from tis.repository.inspection import Loaded
from tis.settings import ServerSettings
from tis.supervisor.machine import Machine, backend_uses_gpu, this_machine

_LAST_WORDS_LETTERS: Final = 2000


@dataclass(frozen=True)
class LocalBench:
    """What `tis check` and `tis config` look at models with."""

    #: GPUs that the server would have; None for those of this machine.
    gpus: int | None = None
    auto_complete: bool = True
    backend_directory: str = ServerSettings().backend_directory
    #: Whether model files are read.
    loads: bool = False
    load_timeout_s: float = 600.0
    #: Where Python environments of models are kept; empty: choose.
    environment_directory: str = ""

    @classmethod
    def of(cls, arguments: argparse.Namespace, *, auto_complete: bool) -> "LocalBench":
        """What a command line asks for, see `with_bench_arguments`."""
        return cls(
            gpus=arguments.gpus,
            auto_complete=auto_complete,
            backend_directory=arguments.backend_directory,
            loads=arguments.load,
            environment_directory=arguments.environment_directory,
        )

    def surroundings(self, config: Message) -> Surroundings:
        """What the server would have here."""
        library = self.library(config)
        return Surroundings(
            gpu_count=len(self._machine.gpus),
            backend_uses_gpu=backend_uses_gpu(str(config.backend)) or self.gpus is not None,
            auto_complete=self.auto_complete,
            backend_file=str(library.file or ""),
            backend_environment=str(library.environment or ""),
        )

    def library(self, config: Message) -> BackendLibrary:
        """What would serve a model."""
        return find_backend(config, Path(self.backend_directory))

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

    def _interpreter(self, spec: ModelSpec) -> Interpreter:
        """The Python of a model, made ready first where it must be; progress goes to standard error."""
        wish = wish_of(spec.name, spec.model_path, spec.parameters) if spec.runs_python else None
        if wish is None:
            return OWN
        folder = chosen_folder(self.environment_directory)
        return prepare(wish, folder, lambda text: print(f"{spec.name}: {text}", file=sys.stderr, flush=True))

    def _load(self, spec: ModelSpec, complete: bool) -> Loaded:
        if not spec.instances:
            raise internal(f"model '{spec.name}' has no instances to load")
        order = m.encode([m.LoadModel(spec, 0, complete, config_text(spec))])
        where = self._machine.environment(spec.instances[0], self._machine.threads_for(1))
        interpreter = self._interpreter(spec)
        with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as output:
            arguments = [*interpreter.command, "tis_workers.inspect_model", str(answers.fileno())]
            try:
                done = subprocess.run(
                    arguments,
                    input=order,
                    stdout=output,
                    stderr=output,
                    pass_fds=[answers.fileno()],
                    env=interpreter.environment(os.environ) | where,
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
            return Loaded(message.signature, proposed_config(spec.name, message.proposed))
        if isinstance(message, m.LoadFailed):
            raise TisError(Code(message.code), message.text)
        raise internal(f"the process that loaded model '{spec.name}' gave no answer that can be read")


def with_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says which machine and server are meant."""
    parser.add_argument("--gpus", type=int, metavar="N", help="as on a machine with N GPUs; by default this machine")
    parser.add_argument(
        "--backend-directory",
        default=ServerSettings().backend_directory,
        metavar="DIR",
        help="as with this flag of the server",
    )
    parser.add_argument("--environment-directory", default="", metavar="DIR", help="as with this flag of the server")
