"""The models of the server that all tests of the protocols share."""

from pathlib import Path
from typing import Final

from tests.harness.models import (
    ELEMENT_TYPES,
    add_constant,
    add_sub,
    from_bf16,
    gather,
    identities,
    identity,
    nonzero,
)

BATCHING: Final = "dynamic_batching { }\n"
DELAYED_BATCHING: Final = "dynamic_batching { max_queue_delay_microseconds: 200000 }\n"

#: Every datatype but BF16, for which numpy has no type of its own.
DATATYPES: Final = tuple(name for name in ELEMENT_TYPES if name != "BF16")


def one_cpu(count: int = 1) -> str:
    """An instance group on the CPU."""
    return f"instance_group [ {{ kind: KIND_CPU count: {count} }} ]\n"


def write_shared_repository(folder: Path) -> Path:
    """Models for everything that does not harm the server."""
    one = one_cpu()
    add_sub().write(folder, "simple", max_batch_size=8, extra=one + BATCHING)
    identities({name: name for name in DATATYPES}, [-1]).write(folder, "types", extra=one)
    identity("BF16", [-1]).write(folder, "bf16", extra=one)
    from_bf16().write(folder, "from_bf16", extra=one)
    identity("FP32", [-1]).write(folder, "echo", extra=one)
    identity("BYTES", ["b", -1]).write(folder, "strings", max_batch_size=4, extra=one + BATCHING)
    identity("FP32", [2, "n"]).write(folder, "matrix", extra=one)
    nonzero().write(folder, "nonzero", extra=one)
    gather().write(folder, "gather", max_batch_size=8, extra=one + DELAYED_BATCHING)
    for version in (1, 2, 3):
        add_constant(version).write_version(folder, "versioned", version)
    add_constant(3).write(
        folder,
        "versioned",
        max_batch_size=4,
        version=3,
        extra=one + "version_policy { specific { versions: [1, 3] } }\n",
    )
    return folder
