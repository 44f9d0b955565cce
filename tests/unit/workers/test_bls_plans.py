"""Plans of a model's own requests: made once for all that are alike, and never for one that is not."""

import pytest

from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import TisError
from tis_workers.bls.call import Ask
from tis_workers.bls.plans import Form, Plans


def spec(load: int = 1) -> ModelSpec:
    inputs = (TensorSpec("A", "FP32", (-1,)), TensorSpec("B", "FP32", (2,)))
    outputs = (TensorSpec("C", "FP32", (2,)), TensorSpec("D", "FP32", (2,)))
    return ModelSpec("m", 1, "", "python", 0, inputs, outputs, load=load)


def forms(elements: int = 3) -> list[Form]:
    return [("A", "FP32", (elements,), 4 * elements), ("B", "FP32", (2,), 8)]


def test_requests_that_are_alike_have_one_plan_with_their_inputs_aligned_one_after_another() -> None:
    plans = Plans()
    plan = plans.of(Ask("m"), spec(), forms(17))
    assert plans.of(Ask("m", client_id="other"), spec(), forms(17)) is plan
    assert [(each.start, each.size_bytes) for each in plan.inputs] == [(0, 68), (128, 8)]


def test_shapes_outputs_and_loads_tell_requests_apart() -> None:
    plans = Plans()
    plan = plans.of(Ask("m"), spec(), forms())
    assert plans.of(Ask("m"), spec(), forms(4)).inputs[0].shape == (4,)
    assert plans.of(Ask("m", outputs=["D"]), spec(), forms()).outputs == (1,)
    assert plans.of(Ask("m"), spec(load=2), forms()).load == 2
    assert plans.of(Ask("m"), spec(), forms()) is plan


def test_what_a_request_wishes_for_itself_is_in_its_own_plan_only() -> None:
    plans = Plans()
    plans.of(Ask("m"), spec(), forms())
    assert plans.of(Ask("m", parameters={"a": 1}), spec(), forms()).parameters == {"a": 1}
    wishes = plans.of(Ask("m", timeout_us=7), spec(), forms()).wishes
    assert wishes is not None
    assert wishes.timeout_us == 7
    assert plans.of(Ask("m"), spec(), forms()).wishes is None


def test_a_request_that_does_not_fit_is_refused_each_time() -> None:
    plans = Plans()
    for _ in range(2):
        with pytest.raises(TisError):
            plans.of(Ask("m"), spec(), forms()[:1])


def test_only_so_many_plans_are_kept() -> None:
    plans = Plans()
    for elements in range(1, 200):
        assert plans.of(Ask("m"), spec(), forms(elements)).inputs[0].shape == (elements,)
    assert plans.of(Ask("m"), spec(), forms(1)).inputs[0].shape == (1,)
