"""What frontends make of regions: places that a request may name, and plans that do not outlive their regions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.contracts import messages as m
from tis.contracts.inference import Place
from tis.contracts.model_spec import ModelSpec, TensorSpec
from tis.errors import Code, TisError
from tis_frontend.http.infer_request import planned
from tis_frontend.model_table import ModelTable
from tis_frontend.regions import RegionTable, row

SPEC = ModelSpec("m", 1, "", "onnxruntime", 0, (TensorSpec("A", "FP32", (4,)),), (TensorSpec("Y", "FP32", (4,)),))
NUMBERS = st.integers(-(1 << 66), 1 << 66) | st.integers(-3, 110)


def system(number: int, name: str, size_bytes: int = 100) -> m.Region:
    return m.Region(number, name, "system", f"/{name}", 8, size_bytes)


def table(*regions: m.Region, epoch: int = 1) -> RegionTable:
    made = RegionTable()
    assert made.replace(m.Regions(epoch, regions))
    return made


def refusal(regions: RegionTable, name: str, start: int, size_bytes: int) -> tuple[Code, str]:
    with pytest.raises(TisError) as refused:
        regions.place(name, start, size_bytes)
    return refused.value.code, refused.value.message


def test_a_place_is_refused_in_tritons_words() -> None:
    regions = table(system(7, "r"))
    assert regions.place("r", 0, 100) == Place(7, 0, 100)
    assert regions.place("r", 99, 1) == Place(7, 99, 1)
    assert refusal(regions, "x", 0, 1) == (Code.NOT_FOUND, "Unable to find shared memory region: 'x'")
    assert refusal(regions, "r", 100, 0) == (Code.INVALID_ARG, "Invalid offset for shared memory region: 'r'")
    beyond = (Code.INVALID_ARG, "Invalid offset + byte size for shared memory region: 'r'")
    assert refusal(regions, "r", 1, 100) == beyond
    assert refusal(regions, "r", 0, 0) == beyond
    assert refusal(regions, "r", 2, (1 << 64) - 1) == beyond


@given(NUMBERS, NUMBERS)
def test_no_place_lies_outside_its_region(start: int, size_bytes: int) -> None:
    regions = table(system(7, "r"))
    if 0 <= start < 100 and 0 <= size_bytes <= 100 - start and (start or size_bytes):
        assert regions.place("r", start, size_bytes) == Place(7, start, size_bytes)
    else:
        assert refusal(regions, "r", start, size_bytes)[0] is Code.INVALID_ARG


def test_an_older_table_is_not_taken_over() -> None:
    regions = table(system(1, "r"), epoch=5)
    assert not regions.replace(m.Regions(4, ()))
    assert regions.place("r", 0, 1).region == 1


def test_status_knows_the_kinds_apart() -> None:
    cuda = m.Region(2, "c", "cuda", "0", 0, 64, 1, b"h" * 64)
    regions = table(system(1, "s"), cuda)
    assert [row(region) for region in regions.status("", "system")] == [
        {"name": "s", "key": "/s", "offset": 8, "byte_size": 100}
    ]
    assert [row(region) for region in regions.status("c", "cuda")] == [{"name": "c", "device_id": 1, "byte_size": 64}]
    for name, kind, text in (
        ("x", "system", "Unable to find system shared memory region: 'x'"),
        ("x", "cuda", "Unable to find cuda shared memory region: 'x'"),
        ("s", "cuda", "The region named 's' is registered as system shared memory, not CUDA shared memory"),
        ("c", "system", "The region named 'c' is registered as CUDA shared memory, not system shared memory"),
    ):
        with pytest.raises(TisError) as refused:
            regions.status(name, kind)
        assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, text)


def head(region: str = "r") -> bytes:
    parameters = {"shared_memory_region": region, "shared_memory_byte_size": 16}
    tensor = {"name": "A", "datatype": "FP32", "shape": [4], "parameters": parameters}
    output = {"name": "Y", "parameters": {**parameters, "shared_memory_offset": 16}}
    return json.dumps({"inputs": [tensor], "outputs": [output]}).encode()


def test_a_plan_names_the_region_by_number_for_inputs_and_outputs() -> None:
    models = ModelTable()
    models.replace(m.Table(1, (m.TableEntry(SPEC, ready=True),)))
    plan = planned(models.find("m", None), head(), 0, table(system(7, "r"))).plan
    assert plan is not None
    assert plan.inputs == (m.TensorRef(0, (4,), 0, 16, 7),)
    assert plan.placements == (m.OutputPlacement(0, 7, 16, 16),)
    assert plan.strings == ()


def test_a_remembered_plan_never_reaches_another_region_of_the_same_name() -> None:
    models = ModelTable()
    models.replace(m.Table(1, (m.TableEntry(SPEC, ready=True),)))
    model = models.find("m", None)
    regions = table(system(7, "r"))
    first = planned(model, head(), 0, regions)
    plain = planned(model, b"", 16, regions)
    assert planned(model, head(), 0, regions) is first
    assert regions.replace(m.Regions(2, (system(8, "r"),)))
    models.forget_regions()
    second = planned(model, head(), 0, regions)
    assert second.plan is not None
    assert second.plan.inputs[0].region == 8
    assert planned(model, b"", 16, regions) is plain, "what names no region is not forgotten"
    assert regions.replace(m.Regions(3, ()))
    models.forget_regions()
    with pytest.raises(TisError, match="Unable to find shared memory region: 'r'"):
        planned(model, head(), 0, regions)
