"""Health, metadata and configuration over gRPC."""

from typing import Final

from tests.conformance.case import Case, Grpc, case
from tests.conformance.repository import MODELS

_KEYS: Final = {
    "unknown model": {"name": "nobody"},
    "no model": {},
    "a version": {"name": "versioned", "version": "1"},
    "a version that is left out": {"name": "versioned", "version": "2"},
    "unknown version": {"name": "simple", "version": "7"},
    "a version that is no number": {"name": "simple", "version": "x"},
    "a negative version": {"name": "simple", "version": "-1"},
    "a version of 0": {"name": "simple", "version": "0"},
    "a version beyond 64 bits": {"name": "simple", "version": "99999999999999999999"},
}

CASES: Final[tuple[Case, ...]] = (
    case("live", Grpc("ServerLive")),
    case("ready", Grpc("ServerReady")),
    case("server", Grpc("ServerMetadata")),
    case("ready of a model", Grpc("ModelReady", {"name": "simple"})),
    *(case(f"model {name}", Grpc("ModelMetadata", {"name": name}), masks=["backend"]) for name in MODELS),
    *(
        case(f"{method}: {name}", Grpc(method, key), masks=["backend"])
        for method in ("ModelReady", "ModelMetadata", "ModelConfig")
        for name, key in _KEYS.items()
    ),
    *(
        case(f"config of {name}", Grpc("ModelConfig", {"name": name}), masks=["backend"])
        for name in ("simple", "strings", "versioned", "labelled", "parameterised", "variable")
    ),
)
