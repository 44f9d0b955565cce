"""From a completed ModelConfig to the plain ModelSpec that all processes work with. No checks: they were made before."""

from pathlib import Path

from tis.config import scheduling
from tis.config.extensions import extensions
from tis.config.proto import Message, ModelInstanceGroup, enum_name
from tis.contracts.datatypes import from_config
from tis.contracts.metrics import FIRST_RESPONSE_BUCKETS_MS, FIRST_RESPONSE_FAMILY
from tis.contracts.model_spec import InstanceSpec, ModelSpec, TensorSpec


def instances_of(config: Message) -> tuple[InstanceSpec, ...]:
    """The instances that the groups ask for, named `<group>_<n>`.

    A KIND_GPU group has `count` instances on each of its GPUs. The n-th of each GPU bears the same name, as in Triton: name
    and device together tell instances apart. Groups must have been completed by `with_instance_groups`.
    """
    instances: list[InstanceSpec] = []
    for group in config.instance_group:
        kind = enum_name(group, "kind").removeprefix("KIND_")
        devices = group.gpus if group.kind == ModelInstanceGroup.KIND_GPU else (0,)
        instances.extend(
            InstanceSpec(
                name=f"{group.name}_{number}",
                kind=kind,
                device_id=device,
                rate_limit=scheduling.rate_limit(group),
                passive=group.passive,
                host_policy=group.host_policy,
                profiles=tuple(group.profile),
            )
            for number in range(group.count)
            for device in devices
        )
    return tuple(instances)


def model_spec(
    config: Message, *, version: int, model_path: Path | str, load: int = 0, backend_file: str = "", namespace: str = ""
) -> ModelSpec:
    """The ModelSpec of one version of a model.

    Args:
        config: completed and checked, instance groups included.
        version: the version number.
        model_path: the model's directory, which holds the version directories.
        load: the number of this load of it.
        backend_file: for a Python-based backend, its Python file.
        namespace: the repository, where repositories are namespaces.
    """
    return ModelSpec(
        name=config.name,
        version=version,
        platform=config.platform,
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        inputs=tuple(_tensor(tensor) for tensor in config.input),
        outputs=tuple(_tensor(tensor) for tensor in config.output),
        batcher=scheduling.dynamic_batcher(config),
        sequences=scheduling.sequence_batcher(config),
        ensemble=scheduling.ensemble(config),
        decoupled=config.model_transaction_policy.decoupled,
        model_path=str(model_path),
        filename=config.default_model_filename,
        parameters={key: config.parameters[key].string_value for key in sorted(config.parameters)},
        instances=instances_of(config),
        config=config.SerializeToString(deterministic=True),
        metric_tags={key: config.metric_tags[key] for key in sorted(config.metric_tags)},
        first_response_buckets_ms=_first_response_buckets_ms(config),
        batch_inputs=scheduling.batch_inputs(config),
        batch_outputs=scheduling.batch_outputs(config),
        warmups=scheduling.warmups(config),
        response_cache=config.response_cache.enable,
        priority=enum_name(config.optimization, "priority").removeprefix("PRIORITY_"),
        extensions=extensions(config),
        backend_file=backend_file,
        load=load,
        namespace=namespace,
    )


def _first_response_buckets_ms(config: Message) -> tuple[float, ...]:
    """Bounds of the histogram of first responses: the model's own, where it names any, in ascending order."""
    for control in config.model_metrics.metric_control:
        if control.metric_identifier.family == FIRST_RESPONSE_FAMILY and control.histogram_options.buckets:
            return tuple(sorted(set(control.histogram_options.buckets)))
    return FIRST_RESPONSE_BUCKETS_MS


def _tensor(tensor: Message) -> TensorSpec:
    """An input or output. The fields that only one of the two has keep their defaults for the other."""
    return TensorSpec(
        name=tensor.name,
        datatype=from_config(enum_name(tensor, "data_type")),
        shape=tuple(tensor.dims),
        optional=getattr(tensor, "optional", False),
        reshape=tuple(tensor.reshape.shape) if tensor.HasField("reshape") else None,
        allow_ragged_batch=getattr(tensor, "allow_ragged_batch", False),
        label_filename=getattr(tensor, "label_filename", ""),
    )
