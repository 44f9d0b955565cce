"""Health and readiness, routes and verbs."""

from typing import Final

from tests.conformance.case import Case, Http, case, get, post

_PATHS: Final = {
    "live": "/v2/health/live",
    "ready": "/v2/health/ready",
    "ready of a model": "/v2/models/simple/ready",
    "ready of a version": "/v2/models/versioned/versions/3/ready",
    "ready of a version that is left out": "/v2/models/versioned/versions/2/ready",
    "ready of an unknown version": "/v2/models/simple/versions/7/ready",
    "ready of an unknown model": "/v2/models/nobody/ready",
    "a version that is no number": "/v2/models/simple/versions/x/ready",
    "a version of 0": "/v2/models/simple/versions/0/ready",
    "a negative version": "/v2/models/simple/versions/-1/ready",
    "an empty version": "/v2/models/simple/versions//ready",
    "a large version": "/v2/models/simple/versions/99999999999999999999/ready",
    "a version with leading zeros": "/v2/models/simple/versions/01/ready",
    "a query": "/v2/health/live?x=1",
    "a slash behind": "/v2/health/live/",
    "two slashes": "/v2//health/live",
    "root": "/",
    "nothing like it": "/v2/nothing",
    "version 1 of the protocol": "/v1/health/live",
    "upper case": "/V2/health/live",
    "an empty model": "/v2/models//ready",
    "a model with a slash behind": "/v2/models/simple/ready/",
    "an escaped model": "/v2/models/sim%70le/ready",
    "models": "/v2/models",
    "a health that is none": "/v2/health/happy",
}

CASES: Final[tuple[Case, ...]] = (
    *(case(name, get(path)) for name, path in _PATHS.items()),
    case("live with POST", post("/v2/health/live")),
    case("ready with POST", post("/v2/health/ready")),
    case("ready of a model with POST", post("/v2/models/simple/ready")),
    case("live with HEAD", Http("HEAD", "/v2/health/live")),
    case("live with PUT", Http("PUT", "/v2/health/live")),
    case("live with DELETE", Http("DELETE", "/v2/health/live")),
    case("nothing like it with POST", post("/v2/nothing", b"{}")),
    case("live with a body", Http("GET", "/v2/health/live", (), b"hello")),
)
