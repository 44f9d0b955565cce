"""Model configuration over HTTP: the completed config as JSON."""

from typing import Final

from tests.conformance.case import Case, case, get, post
from tests.conformance.repository import MODELS

CASES: Final[tuple[Case, ...]] = (
    *(case(f"model {name}", get(f"/v2/models/{name}/config"), masks=["backend"]) for name in MODELS),
    case("a version", get("/v2/models/versioned/versions/1/config"), masks=["backend"]),
    case("a version that is left out", get("/v2/models/versioned/versions/2/config")),
    case("unknown version", get("/v2/models/simple/versions/7/config")),
    case("unknown model", get("/v2/models/nobody/config")),
    case("a version that is no number", get("/v2/models/simple/versions/x/config")),
    case("with POST", post("/v2/models/simple/config", b"{}")),
)
