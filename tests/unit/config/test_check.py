import pytest

from tis.config.check import check_config, check_instance_groups
from tis.config.defaults import normalized, with_instance_groups
from tis.config.source import parse_text
from tis.errors import Code, TisError

PYTHON = 'name: "m" backend: "python" '
BATCHED = PYTHON + "max_batch_size: 4 "


def fault(text: str) -> str:
    with pytest.raises(TisError) as caught:
        check_config(normalized(parse_text(text, "p")))
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def group_fault(text: str, gpu_count: int = 0, backend_uses_gpu: bool = True) -> str:
    config = with_instance_groups(
        parse_text(PYTHON + text, "p"), gpu_count=gpu_count, backend_uses_gpu=backend_uses_gpu
    )
    with pytest.raises(TisError) as caught:
        check_instance_groups(config, gpu_count=gpu_count, backend_uses_gpu=backend_uses_gpu)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "words", "given"),
    [
        ("", "model configuration must specify 'name'", ""),
        ('name: "m" platform: "nonsense"', "unexpected platform type 'nonsense' for m", "onnxruntime_onnx"),
        (
            'name: "m" platform: "ensemble" backend: "python"',
            "must have platform type 'ensemble' and empty backend",
            "python",
        ),
        (
            'name: "m" backend: "onnxruntime" platform: "tensorrt_plan"',
            "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
            "expected platform onnxruntime_onnx for m",
        ),
        (PYTHON + "max_batch_size: -1", "'max_batch_size' must be non-negative value for m", "got -1"),
        (
            BATCHED + "dynamic_batching { preferred_batch_size: [2, 0] }",
            "dynamic batching preferred size must be positive for m",
            "got 0",
        ),
        (
            BATCHED + "dynamic_batching { preferred_batch_size: 9 }",
            "dynamic batching preferred size must be <= max batch size for m",
            "got 9 with max_batch_size 4",
        ),
        (
            PYTHON + "dynamic_batching { preferred_batch_size: 2 }",
            "dynamic batching preferred size must be <= max batch size for m",
            "got 2 with max_batch_size 0",
        ),
        (
            BATCHED + "dynamic_batching { priority_levels: 2 }",
            "default priority level must be in range [1, 2] for m",
            "got 0",
        ),
        (
            BATCHED + "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
            "default priority level must be in range [1, 2] for m",
            "got 3",
        ),
        (
            BATCHED
            + "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } } }",
            "priority queue policy must have priority level in range [1, 2] for m",
            "got 3",
        ),
        (
            BATCHED + "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
            "got priority_levels 2",
        ),
        (
            BATCHED
            + "dynamic_batching { preserve_ordering: true "
            + "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
            "got default_timeout_microseconds 5",
        ),
        (
            BATCHED
            + "dynamic_batching { preserve_ordering: true priority_queue_policy "
            + "{ key: 1 value { timeout_action: DELAY default_timeout_microseconds: 5 } } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
            "",
        ),
        (
            PYTHON + "response_cache { enable: true } model_transaction_policy { decoupled: true }",
            "Response Cache does not currently support model m with 'decoupled' transaction policy. "
            "Please disable the response cache.",
            "",
        ),
        (
            PYTHON + "response_cache { enable: true } sequence_batching { }",
            "Response Cache does not currently support model m with sequence batching scheduler. "
            "Please disable the response cache.",
            "",
        ),
        (
            'name: "m" platform: "ensemble"',
            "ensemble scheduling must be set for ensemble m whose platform is ensemble",
            "",
        ),
    ],
)
def test_a_wrong_config_is_rejected_in_tritons_words_and_with_what_was_given(text: str, words: str, given: str) -> None:
    message = fault(text)
    assert words in message
    assert given in message


@pytest.mark.parametrize(
    "text",
    [
        PYTHON,
        PYTHON + "dynamic_batching { }",
        PYTHON + 'platform: "onnxruntime_onnx"',
        'name: "m" backend: "mine" platform: "theirs"',
        'name: "m" backend: "onnxruntime" platform: "onnxruntime_onnx"',
        BATCHED + "dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1 }",
        BATCHED + "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY } }",
        BATCHED + "response_cache { enable: true }",
    ],
)
def test_a_right_config_passes(text: str) -> None:
    check_config(normalized(parse_text(text, "p")))


@pytest.mark.parametrize(
    ("text", "gpu_count", "words"),
    [
        (
            "instance_group { kind: KIND_GPU }",
            0,
            "instance group m_0 of model m has kind KIND_GPU but no GPUs are available",
        ),
        (
            "instance_group { kind: KIND_CPU gpus: 0 }",
            1,
            "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs; got gpus [0]",
        ),
        (
            "instance_group { kind: KIND_MODEL gpus: 0 }",
            1,
            "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs",
        ),
        (
            "instance_group { kind: KIND_GPU gpus: [0, 4] }",
            2,
            "instance group m_0 of model m specifies invalid or unsupported gpu id 4; GPUs of this server are: 0, 1",
        ),
        (
            'instance_group { kind: KIND_CPU profile: "0" }',
            0,
            "instance group m_0 of model m and platform specifies profile field which is only supported for TensorRT models",
        ),
    ],
)
def test_instance_groups_that_the_machine_cannot_hold_are_rejected(text: str, gpu_count: int, words: str) -> None:
    assert words in group_fault(text, gpu_count)


def test_a_gpu_group_of_a_backend_without_gpu_is_rejected() -> None:
    message = group_fault("instance_group { kind: KIND_GPU }", gpu_count=1, backend_uses_gpu=False)
    assert "backend 'python' of this server does not use GPUs" in message


def test_groups_not_yet_completed_are_rejected() -> None:
    for text, words in (("", "must specify one or more"), ("instance_group { }", "has unexpected kind KIND_AUTO")):
        with pytest.raises(TisError, match=words):
            check_instance_groups(parse_text(PYTHON + text, "p"), gpu_count=0, backend_uses_gpu=True)


def test_an_ensemble_needs_no_instance_group() -> None:
    check_instance_groups(parse_text("ensemble_scheduling { }", "p"), gpu_count=0, backend_uses_gpu=True)
