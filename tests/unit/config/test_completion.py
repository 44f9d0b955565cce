import msgspec
import pytest

from tis.config.completion import completed, merged, needs_completion
from tis.config.defaults import normalized
from tis.config.proto import Message
from tis.config.source import parse_text
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError

BATCHABLE = ModelSignature(
    inputs=(TensorSignature("A", "FP32", (-1, 3)), TensorSignature("T", "BYTES", (-1,))),
    outputs=(TensorSignature("X", "INT64", (-1, -1)),),
)
FIXED = ModelSignature(
    inputs=(TensorSignature("A", "FP32", (-1, 3)),), outputs=(TensorSignature("X", "INT64", (1, 4)),)
)
SCALAR = ModelSignature(inputs=(TensorSignature("A", "FP32", ()),), outputs=(TensorSignature("X", "FP32", (-1,)),))

BATCHABLE_INPUTS = (
    'input { name: "A" data_type: TYPE_FP32 dims: 3 } input { name: "T" data_type: TYPE_STRING dims: 1 reshape { } } '
)
BATCHABLE_OUTPUTS = 'output { name: "X" data_type: TYPE_INT64 dims: -1 } '


def config(text: str) -> Message:
    return parse_text(f'name: "m" {text}', "p")


def complete(text: str, signature: ModelSignature, default_max_batch_size: int = 4) -> Message:
    return completed(config(text), signature, default_max_batch_size=default_max_batch_size)


def test_a_config_with_both_sides_is_not_touched_at_all() -> None:
    for inputs in ('input { name: "Z" }', 'batch_input { target_name: "Z" }'):
        text = inputs + ' output { name: "Y" }'
        assert not needs_completion(config(text))
        assert complete(text, BATCHABLE) == config(text)
    assert needs_completion(config('input { name: "Z" }'))
    assert needs_completion(config('output { name: "Y" }'))


def test_batch_inputs_alone_count_as_the_inputs() -> None:
    done = complete('batch_input { target_name: "Z" }', BATCHABLE)
    assert (len(done.input), [tensor.name for tensor in done.output]) == (0, ["X"])


def test_a_batchable_model_gets_default_batch_size_batcher_and_tensors_without_batch_dimension() -> None:
    expected = "max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 } " + BATCHABLE_INPUTS + BATCHABLE_OUTPUTS
    assert complete("", BATCHABLE) == normalized(config(expected))


def test_a_batch_size_that_was_given_stays() -> None:
    done = complete("max_batch_size: 16", BATCHABLE)
    assert done.max_batch_size == 16
    assert list(done.dynamic_batching.preferred_batch_size) == [16]


@pytest.mark.parametrize(("text", "default"), [("max_batch_size: 1", 4), ("", 1), ("", 0), ("", -3)])
def test_batches_of_at_most_one_need_no_batcher(text: str, default: int) -> None:
    assert complete(text, BATCHABLE, default).WhichOneof("scheduling_choice") is None


@pytest.mark.parametrize("batcher", ["sequence_batching", "dynamic_batching", "ensemble_scheduling"])
def test_a_scheduler_that_was_chosen_stays(batcher: str) -> None:
    assert complete(f"{batcher} {{ }}", BATCHABLE).WhichOneof("scheduling_choice") == batcher


def test_with_a_default_batch_size_of_zero_the_batch_dimension_stays_visible() -> None:
    done = complete("", BATCHABLE, 0)
    assert [list(tensor.dims) for tensor in (*done.input, *done.output)] == [[-1, 3], [-1], [-1, -1]]


def test_only_the_missing_side_is_generated() -> None:
    done = complete('input { name: "mine" }', BATCHABLE)
    assert [tensor.name for tensor in done.input] == ["mine"]
    assert [tensor.name for tensor in done.output] == ["X"]
    assert done.max_batch_size == 4


def test_a_model_with_one_fixed_first_dimension_is_not_batched() -> None:
    done = complete("", FIXED)
    assert (done.max_batch_size, done.WhichOneof("scheduling_choice")) == (0, None)
    assert [list(tensor.dims) for tensor in (*done.input, *done.output)] == [[-1, 3], [1, 4]]


def test_asking_an_unbatchable_model_for_batches_fails_in_tritons_words() -> None:
    with pytest.raises(TisError) as caught:
        complete("max_batch_size: 8", FIXED)
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified; "
        "got max_batch_size 8, but the first dimension of tensor 'X' [1,4] is not variable"
    )


def test_a_scalar_becomes_one_element_without_reshape_where_nothing_is_batched() -> None:
    tensor = complete("", SCALAR).input[0]
    assert (list(tensor.dims), tensor.HasField("reshape")) == ([1], False)


def test_a_tensor_of_unknown_datatype_is_named() -> None:
    signature = ModelSignature(inputs=(TensorSignature("A", "COMPLEX64", (-1,)),), outputs=())
    with pytest.raises(TisError, match="unsupported datatype COMPLEX64 for tensor 'A' for model 'm'"):
        complete("", signature)


def test_completing_leaves_the_given_config_alone() -> None:
    given = config("")
    completed(given, BATCHABLE)
    assert given == config("")


def test_a_proposal_decides_only_what_a_backend_may_decide() -> None:
    proposed = config(
        'backend: "evil" max_batch_size: 2 '
        + BATCHABLE_INPUTS
        + BATCHABLE_OUTPUTS
        + 'dynamic_batching { } model_transaction_policy { decoupled: true } metric_tags { key: "a" value: "b" }'
    )
    done = merged(config('backend: "python" output { name: "old" }'), proposed)
    expected = (
        'backend: "python" max_batch_size: 2 dynamic_batching { preferred_batch_size: 2 } '
        + BATCHABLE_INPUTS
        + BATCHABLE_OUTPUTS
        + "model_transaction_policy { decoupled: true }"
    )
    assert done == normalized(config(expected))


def test_a_proposal_keeps_the_chosen_scheduler_or_fails() -> None:
    chosen = config("max_batch_size: 8 dynamic_batching { preferred_batch_size: 8 }")
    same = config("max_batch_size: 8 dynamic_batching { preferred_batch_size: 4 }")
    assert list(merged(chosen, same).dynamic_batching.preferred_batch_size) == [8]
    for other in ("sequence_batching { }", ""):
        with pytest.raises(TisError, match="Cannot update scheduling choice from dynamic_batching") as caught:
            merged(chosen, config(other))
        assert caught.value.code is Code.INTERNAL


def test_instance_groups_are_taken_over_only_where_they_are_open() -> None:
    proposed = config('backend: "python" instance_group { name: "m" kind: KIND_CPU count: 3 }')
    written = config('backend: "python" instance_group { name: "m" kind: KIND_CPU count: 1 }')
    assert [group.count for group in merged(written, proposed).instance_group] == [1]
    assert [group.count for group in merged(written, proposed, adopts_groups=True).instance_group] == [3]


def test_a_first_dimension_that_need_not_be_a_batchs_makes_batches_only_where_the_config_says_so() -> None:
    signature = msgspec.structs.replace(BATCHABLE, first_is_batch=False)
    done = complete("", signature)
    assert (done.max_batch_size, list(done.input[0].dims)) == (0, [-1, 3])
    done = complete("max_batch_size: 8", signature)
    assert (done.max_batch_size, list(done.input[0].dims)) == (8, [3])
