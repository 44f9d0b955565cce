"""Statistics over HTTP and gRPC. What counts is asked of a model that no other case uses."""

from typing import Any, Final

from tests.conformance.case import Case, Grpc, Http, case, get, infer, post, tensor

_MASKS: Final = ("durations", "last inference")
_PATH: Final = "/v2/models/counted/stats"
_LATER: Final = Http("GET", _PATH, settles=True)


def _ask(rows: int) -> Http:
    data: list[Any] = [1] * 16 * rows
    return infer("counted", {"inputs": [tensor(name, "INT32", [rows, 16], data) for name in ("INPUT0", "INPUT1")]})


CASES: Final[tuple[Case, ...]] = (
    case(
        "what counts",
        get(_PATH),
        _ask(1),
        _LATER,
        _ask(3),
        _LATER,
        _ask(1),
        _LATER,
        _ask(9),
        _LATER,
        Grpc("ModelStatistics", {"name": "counted"}),
        get("/v2/models/counted/versions/1/stats"),
        masks=_MASKS,
    ),
    case("idle", get("/v2/models/parameterised/stats"), masks=_MASKS),
    case("unknown model", get("/v2/models/nobody/stats")),
    case("unknown version", get("/v2/models/simple/versions/7/stats")),
    case("version of an unknown model", get("/v2/models/nobody/versions/1/stats")),
    case("a version that is no number", get("/v2/models/simple/versions/x/stats")),
    case("a version that is left out", get("/v2/models/versioned/versions/2/stats")),
    case("with POST", post("/v2/models/stats")),
    case("of a model with POST", post(_PATH)),
    case("gRPC: unknown model", Grpc("ModelStatistics", {"name": "nobody"})),
    case("gRPC: unknown version", Grpc("ModelStatistics", {"name": "simple", "version": "7"})),
    case("gRPC: a version that is no number", Grpc("ModelStatistics", {"name": "simple", "version": "x"})),
    case("gRPC: idle", Grpc("ModelStatistics", {"name": "parameterised"}), masks=_MASKS),
)
