"""The index of the repository, over HTTP and gRPC."""

from typing import Final

from tests.conformance.case import Case, Grpc, case, get, post

CASES: Final[tuple[Case, ...]] = (
    case("all", post("/v2/repository/index")),
    case("all with a body", post("/v2/repository/index", {})),
    case("ready", post("/v2/repository/index", {"ready": True})),
    case("not ready", post("/v2/repository/index", {"ready": False})),
    case("ready a string", post("/v2/repository/index", {"ready": "true"})),
    case("ready a number", post("/v2/repository/index", {"ready": 1})),
    case("ready null", post("/v2/repository/index", {"ready": None})),
    case("unknown keys", post("/v2/repository/index", {"more": 1})),
    case("no JSON", post("/v2/repository/index", b"hello")),
    case("an array", post("/v2/repository/index", b"[]")),
    case("of one repository", post("/v2/repository/x/index", b"")),
    case("with GET", get("/v2/repository/index")),
    case("few", post("/v2/repository/index"), server="explicit"),
    case("few that are ready", post("/v2/repository/index", {"ready": True}), server="explicit"),
    case("gRPC: all", Grpc("RepositoryIndex")),
    case("gRPC: ready", Grpc("RepositoryIndex", {"ready": True})),
    case("gRPC: of one repository", Grpc("RepositoryIndex", {"repository_name": "x"})),
    case("gRPC: few", Grpc("RepositoryIndex"), server="explicit"),
    case("gRPC: few that are ready", Grpc("RepositoryIndex", {"ready": True}), server="explicit"),
)
