"""Every field of ModelConfig is acted on, listed as not acted on, or refused; nothing is silently ignored."""

from collections.abc import Iterator
from typing import Any

import pytest

from tis.config.fields import is_set
from tis.config.proto import ModelConfig, is_map
from tis.config.refused import REFUSED, check_supported
from tis.config.source import parse_text
from tis.config.unacted import UNACTED, unacted_fields
from tis.errors import Code, TisError

#: Fields on which the server acts, or that it checks and that then need no act.
ACTED = {
    "name",
    "platform",
    "backend",
    "runtime",
    "version_policy",
    "max_batch_size",
    "input.name",
    "input.data_type",
    "input.format",
    "input.dims",
    "input.reshape",
    "input.is_shape_tensor",
    "input.optional",
    "input.allow_ragged_batch",
    "input.is_non_linear_format_io",
    "output.name",
    "output.data_type",
    "output.dims",
    "output.label_filename",
    "output.reshape",
    "output.is_shape_tensor",
    "output.is_non_linear_format_io",
    "batch_input",
    "batch_output",
    "optimization.graph",
    "optimization.priority",
    "optimization.execution_accelerators",
    "dynamic_batching.preferred_batch_size",
    "dynamic_batching.max_queue_delay_microseconds",
    "dynamic_batching.priority_levels",
    "dynamic_batching.default_priority_level",
    "dynamic_batching.default_queue_policy",
    "dynamic_batching.priority_queue_policy",
    "dynamic_batching.preserve_ordering",
    "ensemble_scheduling",
    "sequence_batching",
    "instance_group.name",
    "instance_group.kind",
    "instance_group.count",
    "instance_group.gpus",
    "instance_group.passive",
    "instance_group.host_policy",
    "instance_group.profile",
    "default_model_filename",
    "parameters",
    "metric_tags",
    "model_metrics",
    "instance_group.rate_limiter",
    "response_cache.enable",
    "model_transaction_policy",
    "model_warmup",
}
TABLES = {"acted": ACTED, "unacted": UNACTED, "refused": set(REFUSED)}


def leaves(descriptor: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields that hold a value themselves."""
    for field in descriptor.fields:
        if field.message_type is None or is_map(field) or not field.message_type.fields:
            yield prefix + field.name
        else:
            yield from leaves(field.message_type, f"{prefix}{field.name}.")


def covers(table: set[str], leaf: str) -> bool:
    return any(leaf == name or leaf.startswith(f"{name}.") for name in table)


@pytest.mark.parametrize("leaf", sorted(leaves(ModelConfig.DESCRIPTOR)))
def test_every_field_is_in_exactly_one_table(leaf: str) -> None:
    assert len([name for name, table in TABLES.items() if covers(set(table), leaf)]) == 1


@pytest.mark.parametrize("name", sorted(ACTED | UNACTED | set(REFUSED)))
def test_every_name_in_a_table_is_a_field(name: str) -> None:
    assert not is_set(ModelConfig(), name)


def test_set_fields_are_found_through_lists_maps_and_messages() -> None:
    config = parse_text(
        "instance_group [ { }, { rate_limiter { } } ] "
        'metric_tags { key: "a" value: "" } optimization { cuda { graphs: false } } response_cache { enable: false } '
        'output { name: "X" label_filename: "l" } cc_model_filenames { }',
        "p",
    )
    assert unacted_fields(config) == (
        "cc_model_filenames",
        "optimization.cuda",
    )
    config.platform = "tensorrt_plan"
    assert unacted_fields(config) == ("optimization.cuda",)
    warmup = parse_text('model_warmup { inputs { key: "A" value { zero_data: false } } }', "p")
    assert is_set(warmup, "model_warmup.inputs.zero_data")
    assert not is_set(warmup, "model_warmup.inputs.random_data")


def test_a_plain_config_has_no_unacted_fields_and_is_supported() -> None:
    config = parse_text(
        'name: "m" max_batch_size: 8 dynamic_batching { } instance_group { count: 2 } model_transaction_policy { }', "p"
    )
    assert unacted_fields(config) == ()
    check_supported(config)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("model_repository_agents { }", "model_repository_agents"),
    ],
)
def test_a_field_whose_neglect_gives_wrong_answers_fails_the_load_by_name(text: str, field: str) -> None:
    with pytest.raises(TisError) as caught:
        check_supported(parse_text(f'name: "m" {text}', "p"))
    assert caught.value.code is Code.UNSUPPORTED
    assert caught.value.message.startswith(f"unable to load model 'm': '{field}' is not supported by this server (")


def test_a_refusal_says_what_would_go_wrong() -> None:
    with pytest.raises(TisError, match=r"'model_repository_agents' is not supported by this server \(the model would"):
        check_supported(parse_text("model_repository_agents { }", "p"))
