"""Rejections of a whole config: names, backend, batching, priorities, cache, instance groups. Tensors are in check_io.

Every text starts with Triton's own words (ValidateModelConfig and ValidateInstanceGroup in its core) and goes on after a
semicolon with what was given, where Triton's words leave that out.
"""

from tis.config.backends import BACKEND_OF_PLATFORM, BACKENDS_WITH_PLATFORM, ENSEMBLE_PLATFORM, TENSORRT_PLATFORM
from tis.config.check_ensemble import ensemble_faults
from tis.config.check_sequence import sequence_faults
from tis.config.fault import ConfigFault, Faults, Report, at_key, raise_it, tell
from tis.config.proto import Message, ModelInstanceGroup, enum_name, model_config_pb2


def check_config(config: Message, report: Report = raise_it) -> None:
    """Rejects what can be told without the machine and without inputs and outputs. Expects a normalized config.

    Raises:
        TisError: INVALID_ARG, naming field, expectation and value; the first, unless `report` keeps them.
    """
    tell(_faults(config), report)


def _faults(config: Message) -> Faults:
    yield from _identity_faults(config)
    if config.max_batch_size < 0:
        yield ConfigFault(
            "max_batch_size",
            f"'max_batch_size' must be non-negative value for {config.name}; got {config.max_batch_size}",
            expected="0 or more",
        )
    if not config.HasField("version_policy"):
        yield ConfigFault("version_policy", f"must specify 'version policy' for {config.name}")
    if config.HasField("dynamic_batching"):
        yield from _dynamic_batching_faults(config)
    if config.HasField("sequence_batching"):
        yield from sequence_faults(config)
    if config.HasField("ensemble_scheduling"):
        yield from ensemble_faults(config)
    elif config.platform == ENSEMBLE_PLATFORM:
        yield ConfigFault(
            "platform",
            f"ensemble scheduling must be set for ensemble {config.name} whose platform is {ENSEMBLE_PLATFORM}",
            expected="ensemble_scheduling beside it",
        )
    if config.model_transaction_policy.decoupled and config.response_cache.enable:
        yield ConfigFault(
            "response_cache.enable",
            f"Response Cache does not currently support model {config.name} with 'decoupled' transaction policy. "
            "Please disable the response cache.",
            expected="false",
        )


def check_instance_groups(
    config: Message,
    *,
    gpu_count: int,
    backend_uses_gpu: bool,
    unsupported: frozenset[int] = frozenset(),
    minimum: float = 0.0,
    report: Report = raise_it,
) -> None:
    """Rejects instance groups that this machine cannot hold. Expects groups completed by `with_instance_groups`.

    Args:
        config: the config.
        gpu_count: GPUs of the server, numbered from 0.
        backend_uses_gpu: False for a backend that only knows CPUs.
        unsupported: those GPUs whose compute capability is below the minimum.
        minimum: that minimum, for the error.
        report: what is done with faults.

    Raises:
        TisError: INVALID_ARG, naming the group; the first, unless `report` keeps them.
    """
    usable = [gpu for gpu in range(gpu_count) if gpu not in unsupported]
    which = f"GPUs with at least the minimum required CUDA compatibility of {minimum:f}" if unsupported else ""
    tell(_instance_group_faults(config, usable, which or "GPUs of this server", backend_uses_gpu), report)


def _instance_group_faults(config: Message, usable: list[int], which: str, backend_uses_gpu: bool) -> Faults:
    if config.HasField("ensemble_scheduling"):
        return
    if not config.instance_group:
        yield ConfigFault("instance_group", f"must specify one or more 'instance group's for {config.name}")
    for index, group in enumerate(config.instance_group):
        at = f"instance_group[{index}]"
        where = f"instance group {group.name} of model {config.name}"
        kind = enum_name(group, "kind")
        if group.kind == ModelInstanceGroup.KIND_GPU:
            yield from _gpu_faults(at, group, where, usable, which, None if backend_uses_gpu else config.backend)
        elif group.kind not in (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL):
            yield ConfigFault(f"{at}.kind", f"{where} has unexpected kind {kind}", expected="KIND_CPU or KIND_MODEL")
        elif group.gpus:
            yield ConfigFault(
                f"{at}.gpus",
                f"{where} has kind {kind} but specifies one or more GPUs; got gpus {list(group.gpus)}",
                expected="no GPUs",
            )
        if group.profile and config.platform != TENSORRT_PLATFORM:
            platform = f"platform {config.platform}".rstrip()
            yield ConfigFault(
                f"{at}.profile",
                f"{where} and {platform} specifies profile field which is only supported for TensorRT models; "
                f"got profile {list(group.profile)}",
                expected="nothing",
            )


def _identity_faults(config: Message) -> Faults:
    """Name, platform and backend: which must be there, and which fit each other."""
    if not config.name:
        yield ConfigFault("name", "model configuration must specify 'name'")
    if not config.backend and config.platform != ENSEMBLE_PLATFORM:
        known = ", ".join(sorted([*BACKEND_OF_PLATFORM, ENSEMBLE_PLATFORM]))
        yield ConfigFault(
            "platform" if config.platform else "backend",
            f"unexpected platform type '{config.platform}' for {config.name}; expected one of {known}, or a 'backend'",
            expected=f"one of {known}, or a backend",
        )
    if config.backend and config.platform == ENSEMBLE_PLATFORM:
        yield ConfigFault(
            "backend",
            f"Ensemble model '{config.name}' must have platform type '{config.platform}' and empty backend type; "
            f"got backend '{config.backend}'",
            expected="nothing",
        )
    if config.backend in BACKENDS_WITH_PLATFORM and BACKEND_OF_PLATFORM.get(config.platform) != config.backend:
        fitting = ", ".join(sorted(p for p, backend in BACKEND_OF_PLATFORM.items() if backend == config.backend))
        yield ConfigFault(
            "platform" if config.platform else "backend",
            f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}; expected platform "
            f"{fitting} for {config.name}",
            expected=f"platform {fitting}",
        )


def _dynamic_batching_faults(config: Message) -> Faults:
    batching = config.dynamic_batching
    for index, size in enumerate(batching.preferred_batch_size):
        at = f"dynamic_batching.preferred_batch_size[{index}]"
        expected = f"1 to max_batch_size, which is {config.max_batch_size}"
        if size <= 0:
            text = f"dynamic batching preferred size must be positive for {config.name}; got {size}"
            yield ConfigFault(at, text, expected=expected)
        if size > config.max_batch_size:
            yield ConfigFault(
                at,
                f"dynamic batching preferred size must be <= max batch size for {config.name}; got {size} with "
                f"max_batch_size {config.max_batch_size}",
                expected=expected,
            )
    levels = batching.priority_levels
    if levels:
        yield from _priority_faults(config.name, batching)
    if not batching.preserve_ordering:
        return
    if levels > 1:
        yield ConfigFault(
            "dynamic_batching.priority_levels",
            f"Only one priority level is allowed when 'preserve_ordering' is true for {config.name}; got "
            f"priority_levels {levels}",
            expected="at most 1",
        )
    policies = {"dynamic_batching.default_queue_policy": batching.default_queue_policy}
    for level, policy in batching.priority_queue_policy.items():
        policies[at_key("dynamic_batching.priority_queue_policy", level)] = policy
    for at, policy in policies.items():
        delays = policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY
        if delays and policy.default_timeout_microseconds:
            yield ConfigFault(
                f"{at}.timeout_action",
                "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for "
                f"{config.name}; got default_timeout_microseconds {policy.default_timeout_microseconds}",
                expected="REJECT",
            )


def _priority_faults(name: str, batching: Message) -> Faults:
    levels, default = batching.priority_levels, batching.default_priority_level
    expected = f"1 to priority_levels, which is {levels}"
    if not 1 <= default <= levels:
        yield ConfigFault(
            "dynamic_batching.default_priority_level",
            f"default priority level must be in range [1, {levels}] for {name}; got {default}",
            expected=expected,
        )
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= levels:
            yield ConfigFault(
                at_key("dynamic_batching.priority_queue_policy", level),
                f"priority queue policy must have priority level in range [1, {levels}] for {name}; got {level}",
                expected=expected,
            )


def _gpu_faults(
    at: str, group: Message, where: str, usable: list[int], which: str, gpuless_backend: str | None
) -> Faults:
    kind = f"{at}.kind"
    if not usable:
        text = f"{where} has kind KIND_GPU but no GPUs are available; use KIND_CPU or KIND_AUTO"
        yield ConfigFault(kind, text, expected="KIND_CPU or KIND_AUTO")
        return
    if gpuless_backend is not None:
        text = f"{where} has kind KIND_GPU but backend '{gpuless_backend}' of this server does not use GPUs"
        yield ConfigFault(kind, text, expected="KIND_CPU or KIND_AUTO")
    if not group.gpus:
        yield ConfigFault(f"{at}.gpus", f"{where} has kind KIND_GPU but specifies no GPUs", expected="numbers of GPUs")
    for index, gpu in enumerate(group.gpus):
        if gpu not in usable:
            present = ", ".join(str(number) for number in usable)
            yield ConfigFault(
                f"{at}.gpus[{index}]",
                f"{where} specifies invalid or unsupported gpu id {gpu}; {which} are: {present}",
                expected=f"one of {present}",
            )
