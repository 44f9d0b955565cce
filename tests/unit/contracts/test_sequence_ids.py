"""A correlation id must be of the type that the model's control tensor has."""

import pytest

from tis.contracts.inference import InferRequest
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import ControlSpec, SequenceBatcherSpec
from tis.contracts.validation import check_request
from tis.errors import Code, TisError


def check(sequence_id: int | str, datatype: str | None) -> None:
    controls: tuple[ControlSpec, ...] = (ControlSpec("START", "START", "INT32"),)
    if datatype is not None:
        controls += (ControlSpec("C", "CORRID", datatype),)
    spec = ModelSpec("m", 1, "", "onnxruntime", 0, (), (), sequences=SequenceBatcherSpec(controls=controls))
    check_request(spec, InferRequest("m", 1, "7", [], sequence_id=sequence_id))


@pytest.mark.parametrize(
    ("sequence_id", "datatype"),
    [(5, "UINT64"), (5, "INT32"), ("five", "BYTES"), (5, None), ("five", None), (0, "BYTES"), ("", "UINT64")],
)
def test_an_id_that_the_tensor_can_hold_passes_and_so_does_none(sequence_id: int | str, datatype: str | None) -> None:
    check(sequence_id, datatype)


@pytest.mark.parametrize(
    ("sequence_id", "given", "datatype"),
    [("five", "BYTES", "UINT64"), ("five", "BYTES", "INT32"), (5, "UINT64", "BYTES")],
)
def test_an_id_of_another_type_is_refused_in_tritons_words(sequence_id: int | str, given: str, datatype: str) -> None:
    with pytest.raises(TisError) as caught:
        check(sequence_id, datatype)
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        f"[request id: 7] sequence batching control 'C' data-type is '{given}', but model 'm' expects '{datatype}'"
    )
