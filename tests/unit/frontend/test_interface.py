"""Every route belongs to a part of the interface, and a part that is restricted opens for its header only."""

import pytest
from starlette.routing import Route

from tis.settings import RESTRICTED_CATEGORIES, Restriction
from tis_frontend.grpc.category import CATEGORIES
from tis_frontend.http.interface import InterfaceRoute, category_of
from tis_frontend.restriction import expected_headers

ROUTES = {
    "/v2": "metadata",
    "/v2/models/{model}": "metadata",
    "/v2/models/{model}/versions/{version:int}": "metadata",
    "/v2/health/live": "health",
    "/v2/health/ready": "health",
    "/v2/models/{model}/ready": "health",
    "/v2/models/{model}/versions/{version:int}/ready": "health",
    "/v2/models/{model}/versions/{version:int}/infer": "inference",
    "/v2/models/{model}/generate_stream": "inference",
    "/v2/models/{model}/config": "model-config",
    "/v2/models/stats": "statistics",
    "/v2/models/{model}/versions/{version:int}/stats": "statistics",
    "/v2/models/{model}/trace/setting": "trace",
    "/v2/trace/setting": "trace",
    "/v2/logging": "logging",
    "/v2/repository/index": "model-repository",
    "/v2/repository/{repository}/models/{model}/load": "model-repository",
    "/v2/cudasharedmemory/region/{region}/register": "shared-memory",
}


@pytest.mark.parametrize(("path", "category"), ROUTES.items())
def test_a_route_has_the_category_that_triton_gives_it(path: str, category: str) -> None:
    assert category_of(path) == category


def test_a_route_of_no_category_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="belongs to no category"):
        InterfaceRoute(Route("/v3/else", lambda _request: None), {})


def test_both_faces_know_the_same_categories() -> None:
    assert set(ROUTES.values()) == set(CATEGORIES.values()) == set(RESTRICTED_CATEGORIES)


def test_a_header_opens_a_part_whatever_the_case_of_its_name_but_not_of_its_value() -> None:
    expected = expected_headers((Restriction(categories=("health", "trace"), header="Door", value="Open"),))
    assert set(expected) == {"health", "trace"}
    door = expected["trace"]
    assert door.shown == "Door"
    assert door.met_by_one_of([(b"x", b"y"), (b"door", b"Open")])
    for headers in ([], [(b"door", b"open")], [(b"door", b"")], [(b"other", b"Open")]):
        assert not door.met_by_one_of(headers)


def test_grpc_metadata_has_a_prefix() -> None:
    [door] = expected_headers((Restriction(categories=("health",), header="Door", value="1"),), "pre-").values()
    assert (door.header, door.shown) == ("pre-door", "pre-Door")
