"""What an instance is allowed: how long it may load and run a batch, how much memory it may have. Plain data."""

from dataclasses import dataclass

from tis.config.extensions import EXECUTION_LIMIT, LOAD_LIMIT
from tis.contracts.scheduling_spec import ExtensionSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process; 0 is none."""

    load_s: float = 0.0
    #: Where the limit of loading comes from.
    load_source: str = ""
    execution_s: float = 0.0
    memory_bytes: int = 0

    @property
    def load_text(self) -> str:
        """Why a process that loads for too long is killed."""
        return f"it was not ready within {self.load_s:g} s ({self.load_source})"

    @property
    def execution_text(self) -> str:
        """Why a process that executes for too long is killed."""
        return f"a batch ran longer than {self.execution_s:g} s ({EXECUTION_LIMIT})"


def limits_of(extensions: ExtensionSpec, model_load_timeout_s: float) -> Limits:
    """The limits of a model's instances, where the server's own limit of loading is `model_load_timeout_s`."""
    own_s = extensions.load_limit_s
    return Limits(
        model_load_timeout_s if own_s is None else own_s,
        "--model-load-timeout-secs" if own_s is None else LOAD_LIMIT,
        extensions.execution_limit_s,
        extensions.memory_limit_bytes,
    )
