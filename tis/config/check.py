"""Rejections of a whole config: names, backend, batching, priorities, cache, instance groups. Tensors are in check_io.

Every text starts with Triton's own words (ValidateModelConfig and ValidateInstanceGroup in its core) and goes on after a
semicolon with what was given, where Triton's words leave that out. All functions return nothing and raise the first fault.
"""

from tis.config.backends import BACKEND_OF_PLATFORM, BACKENDS_WITH_PLATFORM, ENSEMBLE_PLATFORM, TENSORRT_PLATFORM
from tis.config.check_ensemble import check_ensemble
from tis.config.check_sequence import check_sequence_batching
from tis.config.proto import Message, ModelInstanceGroup, enum_name, model_config_pb2
from tis.errors import invalid


def check_config(config: Message) -> None:
    """Rejects what can be told without the machine and without inputs and outputs. Expects a normalized config.

    Raises:
        TisError: INVALID_ARG, naming field, expectation and value.
    """
    _check_identity(config)
    if config.max_batch_size < 0:
        raise invalid(f"'max_batch_size' must be non-negative value for {config.name}; got {config.max_batch_size}")
    if not config.HasField("version_policy"):
        raise invalid(f"must specify 'version policy' for {config.name}")
    if config.HasField("dynamic_batching"):
        _check_dynamic_batching(config)
    if config.HasField("sequence_batching"):
        check_sequence_batching(config)
    if config.HasField("ensemble_scheduling"):
        check_ensemble(config)
    elif config.platform == ENSEMBLE_PLATFORM:
        raise invalid(
            f"ensemble scheduling must be set for ensemble {config.name} whose platform is {ENSEMBLE_PLATFORM}"
        )
    if config.model_transaction_policy.decoupled and config.response_cache.enable:
        raise invalid(
            f"Response Cache does not currently support model {config.name} with 'decoupled' transaction policy. "
            "Please disable the response cache."
        )


def check_instance_groups(config: Message, *, gpu_count: int, backend_uses_gpu: bool) -> None:
    """Rejects instance groups that this machine cannot hold. Expects groups completed by `with_instance_groups`.

    Raises:
        TisError: INVALID_ARG, naming the group.
    """
    if config.HasField("ensemble_scheduling"):
        return
    if not config.instance_group:
        raise invalid(f"must specify one or more 'instance group's for {config.name}")
    for group in config.instance_group:
        where = f"instance group {group.name} of model {config.name}"
        kind = enum_name(group, "kind")
        if group.kind == ModelInstanceGroup.KIND_GPU:
            _check_gpus(group, where, gpu_count, config.backend if not backend_uses_gpu else None)
        elif group.kind not in (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL):
            raise invalid(f"{where} has unexpected kind {kind}")
        elif group.gpus:
            raise invalid(f"{where} has kind {kind} but specifies one or more GPUs; got gpus {list(group.gpus)}")
        if group.profile and config.platform != TENSORRT_PLATFORM:
            platform = f"platform {config.platform}".rstrip()
            raise invalid(
                f"{where} and {platform} specifies profile field which is only supported for TensorRT models; "
                f"got profile {list(group.profile)}"
            )


def _check_identity(config: Message) -> None:
    """Name, platform and backend: which must be there, and which fit each other."""
    if not config.name:
        raise invalid("model configuration must specify 'name'")
    if not config.backend and config.platform != ENSEMBLE_PLATFORM:
        raise invalid(
            f"unexpected platform type '{config.platform}' for {config.name}; expected one of "
            f"{', '.join(sorted([*BACKEND_OF_PLATFORM, ENSEMBLE_PLATFORM]))}, or a 'backend'"
        )
    if config.backend and config.platform == ENSEMBLE_PLATFORM:
        raise invalid(
            f"Ensemble model '{config.name}' must have platform type '{config.platform}' and empty backend type; "
            f"got backend '{config.backend}'"
        )
    if config.backend in BACKENDS_WITH_PLATFORM and BACKEND_OF_PLATFORM.get(config.platform) != config.backend:
        fitting = ", ".join(sorted(p for p, backend in BACKEND_OF_PLATFORM.items() if backend == config.backend))
        raise invalid(
            f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}; expected platform "
            f"{fitting} for {config.name}"
        )


def _check_dynamic_batching(config: Message) -> None:
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if size <= 0:
            raise invalid(f"dynamic batching preferred size must be positive for {config.name}; got {size}")
        if size > config.max_batch_size:
            raise invalid(
                f"dynamic batching preferred size must be <= max batch size for {config.name}; got {size} with "
                f"max_batch_size {config.max_batch_size}"
            )
    levels = batching.priority_levels
    if levels:
        _check_priorities(config.name, batching)
    if not batching.preserve_ordering:
        return
    if levels > 1:
        raise invalid(
            f"Only one priority level is allowed when 'preserve_ordering' is true for {config.name}; got "
            f"priority_levels {levels}"
        )
    for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values()):
        delays = policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY
        if delays and policy.default_timeout_microseconds:
            raise invalid(
                "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for "
                f"{config.name}; got default_timeout_microseconds {policy.default_timeout_microseconds}"
            )


def _check_priorities(name: str, batching: Message) -> None:
    levels, default = batching.priority_levels, batching.default_priority_level
    if not 1 <= default <= levels:
        raise invalid(f"default priority level must be in range [1, {levels}] for {name}; got {default}")
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= levels:
            raise invalid(
                f"priority queue policy must have priority level in range [1, {levels}] for {name}; got {level}"
            )


def _check_gpus(group: Message, where: str, gpu_count: int, gpuless_backend: str | None) -> None:
    if gpu_count == 0:
        raise invalid(f"{where} has kind KIND_GPU but no GPUs are available; use KIND_CPU or KIND_AUTO")
    if gpuless_backend is not None:
        raise invalid(f"{where} has kind KIND_GPU but backend '{gpuless_backend}' of this server does not use GPUs")
    if not group.gpus:
        raise invalid(f"{where} has kind KIND_GPU but specifies no GPUs")
    for gpu in group.gpus:
        if not 0 <= gpu < gpu_count:
            raise invalid(
                f"{where} specifies invalid or unsupported gpu id {gpu}; GPUs of this server are: "
                f"{', '.join(str(present) for present in range(gpu_count))}"
            )
