import pytest

from tis.config.backend_guess import with_backend
from tis.config.defaults import normalized
from tis.config.proto import Message
from tis.config.resolve import Surroundings, resolved, with_placement
from tis.config.source import parse_text
from tis.contracts.model_spec import ModelSignature, TensorSignature
from tis.errors import Code, TisError

SIGNATURE = ModelSignature(
    inputs=(TensorSignature("A", "FP32", (-1, 3)),), outputs=(TensorSignature("X", "FP32", (-1, 3)),)
)
TENSORS = 'input { name: "A" data_type: TYPE_FP32 dims: 3 } output { name: "X" data_type: TYPE_FP32 dims: 3 } '


def partial(text: str = "", file: str = "model.onnx") -> Message:
    return normalized(with_backend(parse_text(text, "p"), "m", {file: False}))


def code_of(caught: pytest.ExceptionInfo[TisError]) -> Code:
    return caught.value.code


def test_a_model_without_config_is_served_from_its_signature() -> None:
    config = resolved(partial(), Surroundings(default_max_batch_size=16), signature=SIGNATURE, config_provided=False)
    assert config.max_batch_size == 16
    assert list(config.dynamic_batching.preferred_batch_size) == [16]
    assert [group.count for group in config.instance_group] == [2]


def test_nothing_that_says_what_the_model_is_fails_in_tritons_words() -> None:
    with pytest.raises(TisError, match="model configuration is not provided for model 'm'") as caught:
        resolved(partial(file="model.pt"), Surroundings(), config_provided=False)
    assert code_of(caught) is Code.NOT_FOUND


def test_without_auto_complete_a_signature_only_checks() -> None:
    surroundings = Surroundings(auto_complete=False)
    config = resolved(partial("max_batch_size: 8 " + TENSORS), surroundings, signature=SIGNATURE)
    assert not config.HasField("dynamic_batching")
    with pytest.raises(TisError, match="configuration expects 0 inputs, model provides 1"):
        resolved(partial(), surroundings, signature=SIGNATURE)


def test_a_disagreement_with_the_model_fails() -> None:
    with pytest.raises(TisError, match="the model expects 2 dimensions") as caught:
        resolved(partial(TENSORS), Surroundings(), signature=SIGNATURE)
    assert code_of(caught) is Code.INVALID_ARG


def test_tensors_are_checked_once_complete() -> None:
    with pytest.raises(TisError, match="model input 'A' must specify 'dims' for m"):
        resolved(partial('input { name: "A" data_type: TYPE_FP32 }', "model.py"), Surroundings())


def test_a_proposal_of_the_model_is_taken_over_and_checked() -> None:
    config = partial("", "model.py")
    done = resolved(
        config, Surroundings(), proposed=parse_text("max_batch_size: 2 " + TENSORS, "p"), config_provided=False
    )
    assert (done.max_batch_size, done.input[0].name) == (2, "A")
    with pytest.raises(TisError, match="model input 'A' must specify 'dims' for m") as caught:
        resolved(config, Surroundings(), proposed=parse_text('input { name: "A" data_type: TYPE_FP32 }', "p"))
    assert code_of(caught) is Code.INVALID_ARG
    decoupled = resolved(
        config, Surroundings(), proposed=parse_text(TENSORS + "model_transaction_policy { decoupled: true }", "p")
    )
    assert decoupled.model_transaction_policy.decoupled


def test_groups_that_the_machine_cannot_hold_fail_before_the_model_is_read() -> None:
    with pytest.raises(TisError, match="no GPUs are available"):
        with_placement(partial("instance_group { kind: KIND_GPU }"), Surroundings())
    placed = with_placement(partial("instance_group { kind: KIND_GPU }"), Surroundings(gpu_count=1))
    assert list(placed.instance_group[0].gpus) == [0]
    assert with_placement(placed, Surroundings(gpu_count=1)) == placed
