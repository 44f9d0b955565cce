"""Which paths and verbs there are: the rest is refused in Triton's words, and before anything else is looked at."""

import pytest

from tests.harness.raw_http import Connection, Response
from tests.harness.server import Server

JSON, TEXT = "application/json", "text/plain"
TOO_LARGE = (
    "failed to get model version from specified version string '{}' (details: stol), "
    "version should be an integral value > 0"
)


def call(server: Server, method: str, path: str) -> Response:
    with Connection(server) as connection:
        return connection.call(f"{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v2/", "/v2/health", "/v2/health/live/", "/v2/models", "/v2/models/", "/v2/models/simple/"),
        *("/v2/models/stats/", "/v2/models/simple/versions/", "/v2/models/simple/versions/x/ready"),
        *("/v2/models/simple/versions/-1", "/v2/models/simple/what", "/v2/models/simple/versions/1/trace/setting"),
        *("/v2/repository", "/v2/repository//index", "/v2/repository/a/b/index", "/v2/logging/", "/v2/trace/setting/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_path_that_is_none_is_not_found(server: Server, method: str, path: str) -> None:
    answer = call(server, method, path)
    assert (answer.status, answer.error, answer.headers["content-type"]) == (404, "Not Found", TEXT)


@pytest.mark.parametrize(
    ("path", "methods", "media_type"),
    [
        ("/v2", "POST PUT DELETE OPTIONS PATCH", JSON),
        ("/v2/health/live", "POST PUT", TEXT),
        ("/v2/health/ready", "POST", TEXT),
        ("/v2/models/simple", "POST", JSON),
        ("/v2/models/simple/ready", "POST", TEXT),
        ("/v2/models/nobody/config", "POST", JSON),
        ("/v2/models/stats", "POST", JSON),
        ("/v2/models/simple/infer", "GET PUT DELETE", TEXT),
        ("/v2/repository/index", "GET", JSON),
        ("/v2/repository/here/models/simple/load", "GET", JSON),
        ("/v2/logging", "PUT DELETE", JSON),
        ("/v2/trace/setting", "PUT DELETE", JSON),
        ("/v2/systemsharedmemory/status", "POST", JSON),
    ],
)
def test_a_verb_that_a_path_does_not_take_is_not_allowed(
    server: Server, path: str, methods: str, media_type: str
) -> None:
    for method in methods.split():
        answer = call(server, method, path)
        assert (answer.status, answer.error) == (405, "Method Not Allowed")
        assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize(
    ("path", "status", "media_type"),
    [
        ("/v2/health/live", 200, TEXT),
        ("/v2/health/ready", 200, TEXT),
        ("/v2/models/simple/versions/01/ready", 200, TEXT),
        ("/v2/models/nobody/ready", 400, TEXT),
        ("/v2/models/simple/versions/0/ready", 400, TEXT),
        ("/v2?x=1", 200, JSON),
        ("/v2/models/simple?x=1", 200, JSON),
        ("/v2/models/simple/versions/0", 404, JSON),
        ("/v2/models/simpl%65", 404, JSON),
    ],
)
def test_an_answer_calls_itself_what_tritons_does(server: Server, path: str, status: int, media_type: str) -> None:
    answer = call(server, "GET", path)
    assert (answer.status, answer.headers["content-type"]) == (status, media_type)


@pytest.mark.parametrize("version", ["9" * 20, "9" * 5000], ids=["long", "very long"])
@pytest.mark.parametrize(("method", "what"), [("GET", ""), ("GET", "/ready"), ("GET", "/stats"), ("POST", "/infer")])
def test_a_version_beyond_all_numbers_is_refused(server: Server, method: str, what: str, version: str) -> None:
    answer = call(server, method, f"/v2/models/simple/versions/{version}{what}")
    assert (answer.status, answer.error) == (400, TOO_LARGE.format(version))
