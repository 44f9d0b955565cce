"""Metadata of the server and of models, over HTTP."""

from typing import Final

from tests.conformance.case import Case, case, get, post
from tests.conformance.repository import MODELS

CASES: Final[tuple[Case, ...]] = (
    case("server", get("/v2")),
    case("server with a slash", get("/v2/")),
    case("server with POST", post("/v2")),
    *(case(f"model {name}", get(f"/v2/models/{name}"), masks=["backend"]) for name in MODELS),
    case("a version", get("/v2/models/versioned/versions/1"), masks=["backend"]),
    case("another version", get("/v2/models/versioned/versions/3"), masks=["backend"]),
    case("a version that is left out", get("/v2/models/versioned/versions/2")),
    case("unknown version", get("/v2/models/simple/versions/7")),
    case("unknown model", get("/v2/models/nobody")),
    case("version of an unknown model", get("/v2/models/nobody/versions/1")),
    case("a version that is no number", get("/v2/models/simple/versions/x")),
    case("a negative version", get("/v2/models/simple/versions/-1")),
    case("a version of 0", get("/v2/models/simple/versions/0")),
    case("a large version", get("/v2/models/simple/versions/9223372036854775808")),
    case("a version that ends in letters", get("/v2/models/simple/versions/1a")),
    case("a slash behind", get("/v2/models/simple/")),
    case("with POST", post("/v2/models/simple", b"{}")),
    case("a name to escape in JSON", get('/v2/models/a"b')),
    case("a name in UTF-8", get("/v2/models/%C3%A9")),
)
