"""HTTP routes that look at the server and change it while it runs: repository, log settings, trace settings."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tis.contracts import messages as m
from tis.errors import TisError, internal, unavailable, unsupported
from tis.settings import LOG_FORMATS, LogSettings
from tis_frontend import repository_calls, trace_settings
from tis_frontend.http import json_text
from tis_frontend.http.body import bounded_body
from tis_frontend.server import Server
from tis_frontend.trace_settings import TraceChanges

_JSON: Final = "application/json"
_PARSE_FAILED: Final = "failed to parse the request JSON buffer"
_MOST_UINT64: Final = (1 << 64) - 1
_MOST_VERBOSE: Final = (1 << 31) - 1
_TRACE_TEXTS: Final = ("trace_rate", "trace_count", "log_frequency")


def control_routes() -> list[BaseRoute]:
    """The routes, for the application of a frontend."""
    routes: list[BaseRoute] = [
        Route("/v2/logging", _logging, methods=["GET", "POST"]),
        Route("/v2/trace/setting", _trace, methods=["GET", "POST"]),
        Route("/v2/models/{model}/trace/setting", _trace, methods=["GET", "POST"]),
    ]
    for base in ("/v2/repository", "/v2/repository/{repository}"):
        routes += [
            Route(f"{base}/index", _index, methods=["POST"]),
            Route(f"{base}/models/{{model}}/load", _load, methods=["POST"]),
            Route(f"{base}/models/{{model}}/unload", _unload, methods=["POST"]),
        ]
    return routes


# ---- the repository ----------------------------------------------------------------------------------------------------


async def _index(request: Request) -> Response:
    """Models of the repositories and what their versions are in."""
    ready = await _member(request, "ready")
    if ready is not _ABSENT and type(ready) is not bool:
        raise internal("attempt to access JSON non-boolean as boolean")
    entries = await repository_calls.index(_server(request), ready=ready is True)
    return _json([index_row(entry) for entry in entries])


def index_row(entry: m.IndexEntry) -> dict[str, str]:
    """A line of the index; what is empty is not there."""
    row = {"name": entry.name}
    if entry.version:
        row["version"] = str(entry.version)
    if entry.state:
        row["state"] = entry.state
    if entry.reason:
        row["reason"] = entry.reason
    return row


async def _load(request: Request) -> Response:
    """Load a model, or load it anew."""
    _refuse_repository(request)
    config: str | None = None
    files: dict[str, bytes | str] = {}
    for name, value in (await _parameters(request)).items():
        content = _string(value)
        if name == "config":
            config = content
        elif name.startswith(repository_calls.FILE):
            files[name.removeprefix(repository_calls.FILE)] = content
        else:
            raise internal("unexpected error on creating Triton parameter")
    await repository_calls.load(_server(request), request.path_params["model"], config, files)
    return Response(media_type=_JSON)


async def _unload(request: Request) -> Response:
    """Unload a model."""
    _refuse_repository(request)
    dependents = await _unload_dependents(request)
    await repository_calls.unload(_server(request), request.path_params["model"], dependents=dependents)
    return Response(media_type=_JSON)


async def _unload_dependents(request: Request) -> bool:
    """The one parameter of an unload. As in Triton, anything but true is no error, nor is a body that is no JSON."""
    try:
        return (await _parameters(request)).get("unload_dependents") is True
    except TisError:
        return False


def _refuse_repository(request: Request) -> None:
    if "repository" in request.path_params:
        raise unsupported("'repository_name' specification is not supported")


async def _parameters(request: Request) -> dict[str, Any]:
    parameters = await _member(request, "parameters")
    if parameters is _ABSENT:
        return {}
    if not isinstance(parameters, dict):
        raise internal("attempt to get members for non-object")
    return parameters


# ---- log settings ------------------------------------------------------------------------------------------------------


async def _logging(request: Request) -> Response:
    """Log settings of the server."""
    server = _server(request)
    if request.method == "GET":
        return _json(_log_document(server.log))
    return _json(_log_document(await server.change_log(_log_changes(await _object(request)))))


def _log_changes(document: dict[str, Any]) -> dict[str, bool | int | str]:
    given = {name: value for name, value in document.items() if value is not None}
    if "log_file" in given:
        raise unsupported("log file location can not be updated through network protocol")
    changes: dict[str, bool | int | str] = {}
    for name in ("info", "warning", "error"):
        if (key := f"log_{name}") in given:
            if type(given[key]) is not bool:
                raise internal("attempt to access JSON non-boolean as boolean")
            changes[name] = given[key]
    if "log_verbose_level" in given:
        level = given["log_verbose_level"]
        if type(level) is not int or not 0 <= level <= _MOST_UINT64:
            raise internal("attempt to access JSON non-unsigned-integer as unsigned-integer")
        changes["verbose"] = min(level, _MOST_VERBOSE)
    if "log_format" in given:
        changes["format"] = form = _string(given["log_format"])
        if form not in LOG_FORMATS:
            raise unavailable(f"invalid argument for --log_format, got: {form}")
    return changes


def _log_document(settings: LogSettings) -> dict[str, bool | int | str]:
    return {
        "log_file": settings.file,
        "log_info": settings.info,
        "log_warning": settings.warning,
        "log_error": settings.error,
        "log_verbose_level": settings.verbose,
        "log_format": settings.format,
    }


# ---- trace settings ----------------------------------------------------------------------------------------------------


async def _trace(request: Request) -> Response:
    """Trace settings of the server or of a model."""
    server = _server(request)
    model = request.path_params.get("model", "")
    if request.method == "GET":
        return _json(_trace_document(server.trace_settings(model)))
    server.check_traceable(model)
    changes = _trace_changes(await _object(request))
    return _json(_trace_document(await server.change_trace(model, changes)))


def _trace_changes(document: dict[str, Any]) -> TraceChanges:
    if "trace_file" in document:
        trace_settings.refuse_file()
    changes: TraceChanges = {}
    if "trace_level" in document:
        levels = document["trace_level"]
        if levels is not None and not isinstance(levels, list):
            raise internal("attempt to access JSON non-array as array")
        changes["trace_level"] = (
            None if levels is None else trace_settings.read_level([_string(level) for level in levels])
        )
    for name in _TRACE_TEXTS:
        if name in document:
            value = document[name]
            changes[name] = None if value is None else trace_settings.read_number(name, _string(value), "got:")
    return changes


def _trace_document(settings: dict[str, tuple[str, ...]]) -> dict[str, str | list[str]]:
    return {name: list(value) if name == "trace_level" else value[-1] for name, value in settings.items()}


# ---- forms -------------------------------------------------------------------------------------------------------------

_ABSENT: Final = object()


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


async def _object(request: Request) -> dict[str, Any]:
    """The members of the body; like Triton, none for a body that is JSON but no object."""
    return _members(await _body(request))


def _members(body: bytearray) -> dict[str, Any]:
    document = json_text.parse(body, _PARSE_FAILED)
    return document if isinstance(document, dict) else {}


async def _member(request: Request, name: str) -> Any:
    """A member of a body that may be empty."""
    body = await _body(request)
    return _members(body).get(name, _ABSENT) if body else _ABSENT


async def _body(request: Request) -> bytearray:
    return await bounded_body(request, _server(request).settings.http_max_input_bytes)


def _string(value: Any) -> str:
    if type(value) is not str:
        raise internal("attempt to access JSON non-string as string")
    return value
