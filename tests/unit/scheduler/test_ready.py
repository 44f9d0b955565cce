"""Models are found by name and version among those that the table calls ready."""

import msgspec
import pytest

from tis.contracts import messages as m
from tis.contracts.model_spec import ModelSpec
from tis.errors import TisError
from tis.scheduler.ready import ReadyVersions

SPEC = ModelSpec("m", 1, "", "onnxruntime", 8, (), ())


@pytest.fixture
def ready() -> ReadyVersions:
    specs = {version: msgspec.structs.replace(SPEC, version=version) for version in (1, 2, 10, 11)}
    entries = tuple(m.TableEntry(spec, version != 11) for version, spec in specs.items())
    made = ReadyVersions()
    made.replace(m.Table(1, entries, (("nothing", "why"),)))
    return made


@pytest.mark.parametrize(("version", "found"), [(-1, 10), (1, 1), (2, 2)])
def test_a_ready_version_is_found_and_minus_one_is_the_newest(ready: ReadyVersions, version: int, found: int) -> None:
    assert ready.find("m", version).version == found


@pytest.mark.parametrize(
    ("name", "version", "code", "text"),
    [
        ("m", 11, "UNAVAILABLE", "Request for unknown model: 'm' version 11 is not at ready state"),
        ("nothing", -1, "NOT_FOUND", "Request for unknown model: 'nothing' has no available versions"),
        ("other", -1, "NOT_FOUND", "Request for unknown model: 'other' is not found"),
    ],
)
def test_what_is_not_ready_is_an_error_in_tritons_words(
    ready: ReadyVersions, name: str, version: int, code: str, text: str
) -> None:
    with pytest.raises(TisError) as raised:
        ready.find(name, version)
    assert (raised.value.code, raised.value.message) == (code, text)
