"""Fields that a config may set, that the server reads and shows, but on which it does not act yet.

Ignoring them makes no answer wrong, only slower or later than asked for; the supervisor logs them once at load. A feature
that lands takes its name out of this table. Fields whose neglect would give wrong answers belong in tis.config.refused.
"""

from collections.abc import Mapping
from typing import Final

from tis.config.fields import set_among
from tis.config.proto import Message

UNACTED: Final[frozenset[str]] = frozenset(
    {
        "optimization.cuda",
        "optimization.input_pinned_memory",
        "optimization.output_pinned_memory",
        "optimization.gather_kernel_buffer_threshold",
        "optimization.eager_batching",
        "instance_group.secondary_devices",
        "cc_model_filenames",
        "model_operations",
    }
)

#: Backends that act on such a field. A profile is refused for any but the one that does (see tis.config.check).
ACTED_ON_BY: Final[Mapping[str, frozenset[str]]] = {
    "cc_model_filenames": frozenset({"tensorrt"}),
    "model_operations": frozenset({"onnxruntime", "pytorch", "tensorflow"}),
}


def unacted_fields(config: Message) -> tuple[str, ...]:
    """Dotted names of the fields set in a config that the server does not act on, sorted.

    Expects the config as the user wrote it: defaults filled in later would show up as wishes.
    """
    backend = config.backend or config.platform.partition("_")[0]
    return set_among(config, (name for name in UNACTED if backend not in ACTED_ON_BY.get(name, ())))
