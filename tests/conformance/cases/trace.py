"""Trace settings, over HTTP and gRPC. Each case leaves them as they were."""

from typing import Any, Final

from tests.conformance.case import Case, Grpc, Http, case, get, post

_GET: Final = get("/v2/trace/setting")
_MODEL: Final = "/v2/models/simple/trace/setting"
_CLEAR: Final = {"trace_level": None, "trace_rate": None, "trace_count": None, "log_frequency": None}


def _grpc(settings: dict[str, list[str]], model: str = "") -> Grpc:
    return Grpc("TraceSetting", {
        "settings": {name: {"value": value} for name, value in settings.items()}, "model_name": model
    })  # fmt: skip


_BODIES: Final[dict[str, Any]] = {
    "nothing": {},
    "an empty body": b"",
    "no JSON": b"hello",
    "an array": b"[]",
    "a rate": {"trace_rate": "500"},
    "a rate that is a number": {"trace_rate": 500},
    "a rate of 0": {"trace_rate": "0"},
    "a negative rate": {"trace_rate": "-1"},
    "a rate that is no number": {"trace_rate": "x"},
    "a rate that ends in letters": {"trace_rate": "5x"},
    "an empty rate": {"trace_rate": ""},
    "a huge rate": {"trace_rate": "99999999999999999999"},
    "a count": {"trace_count": "5"},
    "a count of -1": {"trace_count": "-1"},
    "a count of -2": {"trace_count": "-2"},
    "a count that is no number": {"trace_count": "x"},
    "a frequency": {"log_frequency": "3"},
    "a negative frequency": {"log_frequency": "-3"},
    "a frequency that is a number": {"log_frequency": 3},
    "a file": {"trace_file": "/tmp/x"},
    "a mode": {"trace_mode": "opentelemetry"},
    "an unknown key": {"nope": "1"},
    "a level": {"trace_level": ["TIMESTAMPS"]},
    "both levels": {"trace_level": ["TIMESTAMPS", "TENSORS"]},
    "tensors": {"trace_level": ["TENSORS"]},
    "the levels turned round": {"trace_level": ["TENSORS", "TIMESTAMPS", "TENSORS"]},
    "tensors and an unknown level": {"trace_level": ["LOUD", "TENSORS"]},
    "tensors and off": {"trace_level": ["TENSORS", "OFF"]},
    "off": {"trace_level": ["OFF"]},
    "off and more": {"trace_level": ["OFF", "TIMESTAMPS"]},
    "an unknown level": {"trace_level": ["LOUD"]},
    "a level in lower case": {"trace_level": ["timestamps"]},
    "a level that is a string": {"trace_level": "TIMESTAMPS"},
    "a level that is a number": {"trace_level": [1]},
    "no level": {"trace_level": []},
    "null": _CLEAR,
}
_SETTINGS: Final[dict[str, dict[str, list[str]]]] = {
    "nothing": {},
    "a rate": {"trace_rate": ["500"]},
    "two rates": {"trace_rate": ["500", "6"]},
    "no rate": {"trace_rate": []},
    "a rate that is no number": {"trace_rate": ["x"]},
    "a count of -2": {"trace_count": ["-2"]},
    "a level": {"trace_level": ["TIMESTAMPS"]},
    "an unknown level": {"trace_level": ["LOUD"]},
    "a file": {"trace_file": ["/tmp/x"]},
    "an unknown key": {"nope": ["1"]},
}

CASES: Final[tuple[Case, ...]] = (
    case("as it is", _GET),
    case("of a model", get(_MODEL)),
    case("of an unknown model", get("/v2/models/nobody/trace/setting")),
    case("of a version", get("/v2/models/simple/versions/1/trace/setting")),
    *(
        case(name, post("/v2/trace/setting", body), _GET, post("/v2/trace/setting", _CLEAR))
        for name, body in _BODIES.items()
    ),
    *(
        case(f"of a model: {name}", post(_MODEL, body), get(_MODEL), _GET, post(_MODEL, _CLEAR))
        for name, body in _BODIES.items()
        if name in ("a rate", "nothing", "a rate of 0", "off", "null", "a level", "a count")
    ),
    *(
        case(
            f"with a file: {name}",
            post("/v2/trace/setting", body),
            _GET,
            get(_MODEL),
            post("/v2/trace/setting", _CLEAR),
            server="traced",
        )
        for name, body in _BODIES.items()
        if name in ("a level", "both levels", "off", "off and more", "a rate of 0", "a count", "null", "no level",
                    "tensors", "the levels turned round", "tensors and an unknown level", "tensors and off")
    ),
    case("with a file: tensors of a model", post(_MODEL, _BODIES["tensors"]), get(_MODEL), _GET, post(_MODEL, _CLEAR),
         server="traced"),
    *(
        case(f"gRPC with a file: {name}", _grpc({"trace_level": levels}), _GET, _grpc({"trace_level": []}), server="traced")
        for name, levels in {
            "tensors": ["TENSORS"],
            "both levels": ["TENSORS", "TIMESTAMPS"],
            "tensors and off": ["TENSORS", "OFF"],
        }.items()
    ),
    case("gRPC with a file: tensors of a model", _grpc({"trace_level": ["TENSORS"]}, "simple"), get(_MODEL),
         post(_MODEL, _CLEAR), server="traced"),
    case("set of an unknown model", post("/v2/models/nobody/trace/setting", {"trace_rate": "5"})),
    case("of a model follows the server", post(_MODEL, {"trace_count": "7"}), post("/v2/trace/setting", {"trace_rate": "9"}),
         get(_MODEL), post(_MODEL, {"trace_count": None}), get(_MODEL), post("/v2/trace/setting", _CLEAR)),
    case("with PUT", Http("PUT", "/v2/trace/setting", (), b"{}")),
    *(
        case(f"gRPC: {name}", _grpc(settings), _GET, post("/v2/trace/setting", _CLEAR))
        for name, settings in _SETTINGS.items()
    ),
    case("gRPC: of a model", _grpc({"trace_rate": ["5"]}, "simple"), _grpc({}, "simple"), post(_MODEL, _CLEAR)),
    case("gRPC: of an unknown model", _grpc({}, "nobody")),
    case("gRPC: cleared", _grpc({"trace_rate": ["5"]}), _grpc({"trace_rate": []}), post("/v2/trace/setting", _CLEAR)),
)  # fmt: skip
