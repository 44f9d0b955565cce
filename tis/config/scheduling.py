"""The parts of a ModelSpec that say how requests are scheduled and batches made, from a completed config. No checks."""

from typing import Final

from tis.config.proto import Message, enum_name, model_config_pb2
from tis.contracts.datatypes import from_config
from tis.contracts.scheduling_spec import (
    BatchInputSpec,
    BatchOutputSpec,
    ControlSpec,
    DynamicBatcherSpec,
    EnsembleSpec,
    EnsembleStepSpec,
    QueuePolicySpec,
    RateLimitSpec,
    ResourceSpec,
    SequenceBatcherSpec,
    StateSpec,
    WarmupInputSpec,
    WarmupSpec,
)

_VALUE_PAIRS: Final = (("int32_false_true", "INT32"), ("fp32_false_true", "FP32"), ("bool_false_true", "BOOL"))


def dynamic_batcher(config: Message) -> DynamicBatcherSpec | None:
    """`dynamic_batching`, where the config has it."""
    if not config.HasField("dynamic_batching"):
        return None
    batching = config.dynamic_batching
    return DynamicBatcherSpec(
        preferred_batch_sizes=tuple(batching.preferred_batch_size),
        max_queue_delay_us=batching.max_queue_delay_microseconds,
        preserve_ordering=batching.preserve_ordering,
        priority_levels=batching.priority_levels,
        default_priority_level=batching.default_priority_level,
        default_policy=_queue_policy(batching.default_queue_policy),
        level_policies={
            level: _queue_policy(batching.priority_queue_policy[level])
            for level in sorted(batching.priority_queue_policy)
        },
    )


def _queue_policy(policy: Message) -> QueuePolicySpec:
    return QueuePolicySpec(
        delays=policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY,
        default_timeout_us=policy.default_timeout_microseconds,
        allow_timeout_override=policy.allow_timeout_override,
        max_queue_size=policy.max_queue_size,
    )


def sequence_batcher(config: Message) -> SequenceBatcherSpec | None:
    """`sequence_batching`, where the config has it. No strategy means the direct one."""
    if not config.HasField("sequence_batching"):
        return None
    batching = config.sequence_batching
    oldest = batching.HasField("oldest")
    strategy = batching.oldest if oldest else batching.direct
    return SequenceBatcherSpec(
        max_idle_us=batching.max_sequence_idle_microseconds,
        controls=control_tensors(config),
        states=tuple(_state(state) for state in batching.state),
        oldest=oldest,
        max_queue_delay_us=strategy.max_queue_delay_microseconds,
        minimum_slot_utilization=0.0 if oldest else strategy.minimum_slot_utilization,
        max_candidate_sequences=strategy.max_candidate_sequences if oldest else 0,
        preferred_batch_sizes=tuple(strategy.preferred_batch_size) if oldest else (),
        preserve_ordering=oldest and strategy.preserve_ordering,
        iterative=batching.iterative_sequence,
    )


def control_tensors(config: Message) -> tuple[ControlSpec, ...]:
    """The inputs that the server fills for a sequence's model; none without `sequence_batching`."""
    return tuple(
        _control(tensor.name, control)
        for tensor in config.sequence_batching.control_input
        for control in tensor.control
    )


def _control(name: str, control: Message) -> ControlSpec:
    kind = enum_name(control, "kind").removeprefix("CONTROL_SEQUENCE_")
    for field, datatype in _VALUE_PAIRS:
        values = getattr(control, field)
        if values:
            return ControlSpec(name, kind, datatype, float(values[0]), float(values[1]))
    return ControlSpec(name, kind, from_config(enum_name(control, "data_type")))


def _state(state: Message) -> StateSpec:
    initial = state.initial_state[0] if state.initial_state else None
    return StateSpec(
        input_name=state.input_name,
        output_name=state.output_name,
        datatype=from_config(enum_name(state, "data_type")),
        shape=tuple(state.dims),
        initial_shape=tuple(initial.dims) if initial is not None else None,
        initial_file=initial.data_file if initial is not None else "",
        use_same_buffer=state.use_same_buffer_for_input_output,
        growable=state.use_growable_memory,
    )


def ensemble(config: Message) -> EnsembleSpec | None:
    """`ensemble_scheduling`, where the config has it."""
    if not config.HasField("ensemble_scheduling"):
        return None
    scheduling = config.ensemble_scheduling
    return EnsembleSpec(
        steps=tuple(
            EnsembleStepSpec(
                model=step.model_name,
                version=step.model_version or -1,
                inputs=dict(step.input_map),
                outputs=dict(step.output_map),
            )
            for step in scheduling.step
        ),
        # A field of servers newer than the message classes may be missing.
        max_inflight_requests=getattr(scheduling, "max_inflight_requests", 0),
    )


def rate_limit(group: Message) -> RateLimitSpec:
    """`rate_limiter` of an instance group."""
    limiter = group.rate_limiter
    return RateLimitSpec(
        resources=tuple(ResourceSpec(each.name, each.count, getattr(each, "global")) for each in limiter.resources),
        priority=limiter.priority,
    )


def batch_inputs(config: Message) -> tuple[BatchInputSpec, ...]:
    """`batch_input`."""
    return tuple(
        BatchInputSpec(
            kind=enum_name(each, "kind").removeprefix("BATCH_"),
            names=tuple(each.target_name),
            datatype=from_config(enum_name(each, "data_type")),
            source=each.source_input[0] if each.source_input else "",
        )
        for each in config.batch_input
    )


def batch_outputs(config: Message) -> tuple[BatchOutputSpec, ...]:
    """`batch_output`."""
    return tuple(
        BatchOutputSpec(
            kind=enum_name(each, "kind").removeprefix("BATCH_"),
            names=tuple(each.target_name),
            source=each.source_input[0] if each.source_input else "",
        )
        for each in config.batch_output
    )


def warmups(config: Message) -> tuple[WarmupSpec, ...]:
    """`model_warmup`; a sample of batch size 0 is left out, as Triton does."""
    return tuple(
        WarmupSpec(
            name=sample.name,
            batch_size=sample.batch_size,
            inputs=tuple(_warmup_input(name, sample.inputs[name]) for name in sorted(sample.inputs)),
            count=max(sample.count, 1),
        )
        for sample in config.model_warmup
        if sample.batch_size
    )


def _warmup_input(name: str, given: Message) -> WarmupInputSpec:
    chosen = given.WhichOneof("input_data_type")
    source = {"zero_data": "zero", "random_data": "random", "input_data_file": "file"}.get(chosen, "")
    return WarmupInputSpec(
        name=name,
        datatype=from_config(enum_name(given, "data_type")),
        shape=tuple(given.dims),
        source=source,
        filename=given.input_data_file,
    )
