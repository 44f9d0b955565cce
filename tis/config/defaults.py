"""What Triton writes into a config where the user wrote nothing. Every function returns a changed copy.

Triton's rules are NormalizeModelConfig, NormalizeInstanceGroup and SetDefaultInstanceCount in its core. No checks live here:
a wrong value passes through and tis.config.check rejects it.
"""

from typing import Final

from tis.config.backends import TWO_CPU_INSTANCES
from tis.config.proto import Message, ModelInstanceGroup, copy_of

_SEQUENCE_IDLE_US: Final = 1_000_000


def normalized(config: Message) -> Message:
    """A copy with the defaults that need no knowledge of the machine: version policy, batchers, pinned memory.

    Run again after completion, since a completed `max_batch_size` gives a new `dynamic_batching` its preferred size.
    """
    config = copy_of(config)
    if not config.HasField("version_policy"):
        config.version_policy.latest.num_versions = 1
    if config.HasField("dynamic_batching"):
        _prefer_max_batch_size(config.dynamic_batching, config.max_batch_size)
    if config.HasField("sequence_batching"):
        batching = config.sequence_batching
        if batching.max_sequence_idle_microseconds == 0:
            batching.max_sequence_idle_microseconds = _SEQUENCE_IDLE_US
        if batching.HasField("oldest"):
            _prefer_max_batch_size(batching.oldest, config.max_batch_size)
    if config.HasField("ensemble_scheduling"):
        # An ensemble always says whether it is decoupled; it learns so from its steps.
        config.model_transaction_policy.SetInParent()
    else:
        for field in ("input_pinned_memory", "output_pinned_memory"):
            if not config.optimization.HasField(field):
                getattr(config.optimization, field).enable = True
    return config


def with_instance_groups(
    config: Message, *, gpu_count: int, backend_uses_gpu: bool, unsupported: frozenset[int] = frozenset()
) -> Message:
    """A copy whose instance groups all have a name, a kind other than KIND_AUTO, a count and, for KIND_GPU, their GPUs.

    Args:
        config: an ensemble's config comes back as it is: it has no instances.
        gpu_count: GPUs that the server may use, numbered from 0.
        backend_uses_gpu: False for a backend that only knows CPUs: KIND_AUTO then means KIND_CPU.
        unsupported: those of the GPUs that the server may not use after all.
    """
    config = copy_of(config)
    usable = [gpu for gpu in range(gpu_count) if gpu not in unsupported]
    if config.HasField("ensemble_scheduling"):
        return config
    if not config.instance_group:
        config.instance_group.add().name = config.name
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{index}"
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            on_gpu = backend_uses_gpu and bool(usable) and set(group.gpus) <= set(usable)
            group.kind = ModelInstanceGroup.KIND_GPU if on_gpu else ModelInstanceGroup.KIND_CPU
        if group.count < 1:
            group.count = _default_count(group.kind, config.backend)
        if group.kind == ModelInstanceGroup.KIND_GPU and not group.gpus:
            group.gpus.extend(usable)
    return config


def _default_count(kind: int, backend: str) -> int:
    return 2 if kind == ModelInstanceGroup.KIND_CPU and backend in TWO_CPU_INSTANCES else 1


def _prefer_max_batch_size(batcher: Message, max_batch_size: int) -> None:
    if not batcher.preferred_batch_size and max_batch_size > 0:
        batcher.preferred_batch_size.append(max_batch_size)
