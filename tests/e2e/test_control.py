"""The repository index, load and unload, and the settings of log and traces, through each of NVIDIA's clients."""

import json
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from tests.harness.faces import Face
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http import Connection, Response, post
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.waiting import eventually

LOG = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 1,
    "log_format": "default",
}
TRACE = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "triton",
}
NO_CONTROL = "explicit model load / unload is not allowed if polling is enabled"


def posted(server: Server, path: str, body: bytes = b"", **headers: str) -> Response:
    with Connection(server) as connection:
        return connection.call(post(path, {"Content-Length": str(len(body)), **headers}, body))


def log_settings(face: Face, *arguments: Any) -> dict[str, Any]:
    """Log settings in HTTP's form."""
    method = "update_log_settings" if arguments else "get_log_settings"
    settings = face.ask(method, *arguments)
    if "settings" not in settings:
        return dict(settings)
    return {name: next(iter(value.values())) for name, value in settings["settings"].items()}


def trace_settings(face: Face, model: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Trace settings in HTTP's form."""
    method, *changes = ("get_trace_settings",) if settings is None else ("update_trace_settings", settings)
    found = face.ask(method, model, *changes)
    if "settings" not in found:
        return dict(found)
    plain = {name: value["value"] for name, value in found["settings"].items()}
    return {name: value if name == "trace_level" else value[0] for name, value in plain.items()}


# ---- the repository --------------------------------------------------------------------------------------------------


def test_the_index_lists_every_version_in_order(face: Face) -> None:
    index = face.ask("get_model_repository_index")
    listed = index["models"] if isinstance(index, dict) else index
    rows = [(row["name"], row["version"], row["state"]) for row in listed]
    assert ("simple", "1", "READY") in rows
    assert [row for row in rows if row[0] == "versioned"] == [("versioned", "1", "READY"), ("versioned", "3", "READY")]
    assert rows == sorted(rows)


def test_the_index_tells_what_is_not_served_and_why(tmp_path: Any, new_server: StartServer) -> None:
    good = identity("FP32", ["b", 4])
    for name in ("good", "broken", "versionless"):
        good.write(tmp_path / "models", name, max_batch_size=4, extra=one_cpu())
    (tmp_path / "models/broken/1/model.onnx").write_bytes(b"no model")
    (tmp_path / "models/versionless/1/model.onnx").unlink()
    (tmp_path / "models/versionless/1").rmdir()
    (tmp_path / "models/unreadable").mkdir()
    (tmp_path / "models/unreadable/config.pbtxt").write_text("no config")
    server = new_server(tmp_path / "models", "--exit-on-error=false", "--strict-readiness=false").start()
    index = posted(server, "/v2/repository/index").json()
    [broken] = [row for row in index if row["name"] == "broken"]
    assert broken.pop("reason").startswith("Internal: ")
    assert index == [
        {"name": "broken", "version": "1", "state": "UNAVAILABLE"},
        {"name": "good", "version": "1", "state": "READY"},
        {"name": "unreadable"},
    ]
    ready = posted(server, "/v2/repository/somewhere/index", b'{"ready":true}').json()
    assert ready == [{"name": "good", "version": "1", "state": "READY"}]
    for path, status, text in [
        ("broken", 404, "Request for unknown model: 'broken' has no available versions"),
        ("broken/versions/1", 503, "Request for unknown model: 'broken' version 1 is not at ready state"),
        ("versionless", 404, "Request for unknown model: 'versionless' has no available versions"),
        ("unreadable", 404, "Request for unknown model: 'unreadable' is not found"),
        ("broken/versions/1/stats", 400, "requested model 'broken' is not available"),
        ("broken/trace/setting", 400, "Request for unknown model : broken"),
    ]:
        got, body = server.get(f"/v2/models/{path}")
        assert (got, json.loads(body)["error"]) == (status, text)
    # Not every model is ready, but the operator asked for the lenient form.
    server.wait_ready()


@pytest.mark.parametrize("method", ["load_model", "unload_model"])
def test_clients_may_not_load_and_unload_unless_the_server_was_started_for_it(plain_face: Face, method: str) -> None:
    with pytest.raises(InferenceServerException) as raised:
        plain_face.ask(method, "simple")
    assert raised.value.message() == NO_CONTROL
    assert raised.value.status() in ("503", "StatusCode.UNAVAILABLE")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("index", b'{"ready":1}', 500, "attempt to access JSON non-boolean as boolean"),
        ("index", b"{", 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        ("models/simple/load", b"{}", 503, NO_CONTROL),
        ("models/simple/load", b'{"parameters":1}', 500, "attempt to get members for non-object"),
        ("models/simple/load", b'{"parameters":{"config":1}}', 500, "attempt to access JSON non-string as string"),
        ("models/simple/load", b'{"parameters":{"x":"y"}}', 500, "unexpected error on creating Triton parameter"),
        ("models/simple/unload", b'{"parameters":{"unload_dependents":true}}', 503, NO_CONTROL),
        ("here/models/simple/load", b"{", 501, "'repository_name' specification is not supported"),
        ("here/models/simple/unload", b"", 501, "'repository_name' specification is not supported"),
        ("models/simple/reload", b"", 404, "Not Found"),
        ("index/", b"", 404, "Not Found"),
    ],
)
def test_a_wrong_call_on_the_repository_is_refused_in_tritons_words(
    server: Server, path: str, body: bytes, status: int, text: str
) -> None:
    answer = posted(server, f"/v2/repository/{path}", body)
    assert (answer.status, answer.error) == (status, text)


# ---- log settings ------------------------------------------------------------------------------------------------------


def test_log_settings_are_shown_and_changed(face: Face) -> None:
    assert log_settings(face) == LOG
    changed = log_settings(face, {"log_verbose_level": 2, "log_info": False, "log_format": "ISO8601"})
    assert changed == LOG | {"log_verbose_level": 2, "log_info": False, "log_format": "ISO8601"}
    assert log_settings(face) == changed
    assert log_settings(face, {name: value for name, value in LOG.items() if name != "log_file"}) == LOG


def test_a_change_of_the_log_reaches_every_process_and_those_that_start_later(
    tmp_path: Any, new_server: StartServer
) -> None:
    identity("FP32", ["b", 4]).write(tmp_path / "models", "m", max_batch_size=4, extra=one_cpu())
    server = new_server(tmp_path / "models", "--frontends=2").start()
    server.wait_ready()
    assert posted(server, "/v2/logging", b'{"log_format":"ISO8601"}').status == 200

    def formats() -> set[str]:
        with Connection(server) as connection:
            answer = connection.call(b"GET /v2/logging HTTP/1.1\r\nHost: t\r\n\r\n")
        return {answer.json()["log_format"]}

    # Any of the frontends may answer.
    for _ in range(8):
        eventually(lambda: formats() == {"ISO8601"}, "every frontend shows the new format")
    server.kill(server.worker_of("m"))
    # The supervisor says so in the new form, and so does the new worker.
    server.wait_for_log(r"\dZ E \d+ \w+\.py:\d+\] .*was killed by SIGKILL")
    server.wait_ready()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b'{"log_info":1}', 500, "attempt to access JSON non-boolean as boolean"),
        (b'{"log_verbose_level":-1}', 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (b'{"log_verbose_level":true}', 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (b'{"log_format":1}', 500, "attempt to access JSON non-string as string"),
        (b'{"log_format":"iso8601"}', 503, "invalid argument for --log_format, got: iso8601"),
        (b'{"log_file":""}', 501, "log file location can not be updated through network protocol"),
    ],
)
def test_a_wrong_log_setting_is_refused_in_tritons_words(server: Server, body: bytes, status: int, text: str) -> None:
    answer = posted(server, "/v2/logging", body)
    assert (answer.status, answer.error) == (status, text)
    assert json.loads(server.get("/v2/logging")[1]) == LOG


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"log_info":null}', b'{"unknown":1}', b'{"log_file":null}'])
def test_what_asks_for_no_change_of_the_log_changes_nothing(server: Server, body: bytes) -> None:
    answer = posted(server, "/v2/logging", body)
    assert (answer.status, answer.json()) == (200, LOG)


# ---- trace settings ----------------------------------------------------------------------------------------------------


def test_trace_settings_are_shown_and_changed_for_the_server_and_for_a_model(face: Face) -> None:
    assert trace_settings(face, "simple") == trace_settings(face, "") == TRACE
    assert trace_settings(face, "simple", {"trace_rate": "3"}) == TRACE | {"trace_rate": "3"}
    everywhere = TRACE | {"trace_rate": "12", "log_frequency": "2"}
    assert trace_settings(face, "", {"trace_rate": "12", "log_frequency": "2"}) == everywhere
    assert trace_settings(face, "simple") == everywhere | {"trace_rate": "3"}
    assert trace_settings(face, "simple", {"trace_rate": None}) == everywhere
    assert trace_settings(face, "", {"trace_rate": None, "log_frequency": None}) == TRACE


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"trace_level": ["TIMESTAMPS"]}, "Attempting to set invalid trace setting :trace file name is not given"),
        ({"trace_level": ["OFF", "TENSORS"]}, "Expect only one trace level 'OFF' is specified"),
        ({"trace_rate": "x"}, "Unable to parse 'trace_rate', got: x"),
        (
            {"trace_rate": "99999999999"},
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: 99999999999",
        ),
        ({"trace_file": "/tmp/x"}, "trace file location can not be updated through network protocol"),
    ],
)
def test_a_wrong_trace_setting_is_refused_in_tritons_words(face: Face, settings: dict[str, Any], text: str) -> None:
    for model in ("", "simple"):
        with pytest.raises(InferenceServerException) as raised:
            trace_settings(face, model, settings)
        assert raised.value.message() == text
        assert trace_settings(face, model) == TRACE


def test_a_model_that_is_not_there_has_no_trace_settings(face: Face) -> None:
    for settings in (None, {"trace_rate": "x"}):
        with pytest.raises(InferenceServerException) as raised:
            trace_settings(face, "nobody", settings)
        assert raised.value.message() == "Request for unknown model : nobody"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b'{"trace_level":"OFF"}', 500, "attempt to access JSON non-array as array"),
        (b'{"trace_level":[1]}', 500, "attempt to access JSON non-string as string"),
        (b'{"trace_rate":5}', 500, "attempt to access JSON non-string as string"),
        (b'{"trace_count":"-2"}', 400, "Unable to parse 'trace_count'. Expecting value >= -1, got:-2"),
    ],
)
def test_a_trace_setting_of_a_wrong_type_is_refused_in_tritons_words(
    server: Server, body: bytes, status: int, text: str
) -> None:
    answer = posted(server, "/v2/trace/setting", body)
    assert (answer.status, answer.error) == (status, text)
