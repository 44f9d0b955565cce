"""Log settings, over HTTP and gRPC. Each case leaves them as they were."""

from typing import Any, Final

from tests.conformance.case import Case, Grpc, Http, case, get, post

_GET: Final = get("/v2/logging")
_DEFAULT: Final = {
    "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0, "log_format": "default"
}  # fmt: skip
_RESTORE: Final = post("/v2/logging", _DEFAULT)


def _set(body: Any) -> Http:
    return post("/v2/logging", body)


def _grpc(settings: dict[str, Any]) -> Grpc:
    return Grpc("LogSettings", {"settings": settings})


_BODIES: Final[dict[str, Any]] = {
    "info off": {"log_info": False},
    "verbose": {"log_verbose_level": 2},
    "format": {"log_format": "ISO8601"},
    "an unknown format": {"log_format": "x"},
    "a format that is a number": {"log_format": 3},
    "several": {"log_warning": False, "log_error": False, "log_verbose_level": 1},
    "nothing": {},
    "an empty body": b"",
    "no JSON": b"hello",
    "an array": b"[]",
    "null": {"log_info": None, "log_verbose_level": None},
    "a file": {"log_file": "/tmp/log"},
    "an empty file": {"log_file": ""},
    "an unknown key": {"nope": 1},
    "info a string": {"log_info": "false"},
    "info a number": {"log_info": 0},
    "verbose a string": {"log_verbose_level": "1"},
    "verbose negative": {"log_verbose_level": -1},
    "verbose a bool": {"log_verbose_level": True},
    "verbose a float": {"log_verbose_level": 1.5},
}
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "nothing": {},
    "info off": {"log_info": {"bool_param": False}},
    "verbose": {"log_verbose_level": {"uint32_param": 1}},
    "format": {"log_format": {"string_param": "ISO8601"}},
    "an unknown format": {"log_format": {"string_param": "x"}},
    "a file": {"log_file": {"string_param": "/tmp/x"}},
    "an unknown key": {"nope": {"bool_param": True}},
    "info of the wrong kind": {"log_info": {"string_param": "false"}},
    "verbose of the wrong kind": {"log_verbose_level": {"bool_param": True}},
    "format of the wrong kind": {"log_format": {"bool_param": True}},
    "no value": {"log_info": {}},
}

CASES: Final[tuple[Case, ...]] = (
    case("as it is", _GET),
    *(case(name, _set(body), _GET, _RESTORE) for name, body in _BODIES.items()),
    case("with PUT", Http("PUT", "/v2/logging", (), b"{}")),
    case("with a slash behind", get("/v2/logging/")),
    *(case(f"gRPC: {name}", _grpc(settings), _GET, _RESTORE) for name, settings in _SETTINGS.items()),
)
