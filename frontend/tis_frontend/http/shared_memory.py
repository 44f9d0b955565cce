"""HTTP routes of clients' shared memory: status, register and unregister, for system and CUDA memory."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tis.errors import internal, invalid
from tis_frontend import region_calls
from tis_frontend.http import json_text
from tis_frontend.regions import row
from tis_frontend.server import Server

_JSON: Final = "application/json"
_HANDLE_BYTES: Final = 64
_MOST_UINT64: Final = (1 << 64) - 1

Handler = Callable[[Request], Awaitable[Response]]


def shared_memory_routes() -> list[BaseRoute]:
    """The routes, for the application of a frontend."""
    routes: list[BaseRoute] = []
    for kind, register in (("system", _register_system), ("cuda", _register_cuda)):
        for base in (f"/v2/{kind}sharedmemory", f"/v2/{kind}sharedmemory/region/{{region}}"):
            routes += [
                Route(f"{base}/status", _status_of(kind), methods=["GET"]),
                Route(f"{base}/register", register, methods=["POST"]),
                Route(f"{base}/unregister", _unregister_of(kind), methods=["POST"]),
            ]
    return routes


def _status_of(kind: str) -> Handler:
    async def status(request: Request) -> Response:
        found = region_calls.status(_server(request), _name(request), kind)
        return Response(msgspec.json.encode([row(region) for region in found]), media_type=_JSON)

    return status


def _unregister_of(kind: str) -> Handler:
    async def unregister(request: Request) -> Response:
        await region_calls.unregister(_server(request), _name(request), kind)
        return Response(media_type=_JSON)

    return unregister


async def _register_system(request: Request) -> Response:
    name = _name_to_register(request, "system")
    fields = await _fields(request)
    for field in ("key", "byte_size"):
        if field not in fields:
            raise invalid(f"Shared memory register request has no '{field}' field")
    key = _string(fields, "key")
    offset = _uint(fields, "offset") if "offset" in fields else 0
    await region_calls.register_system(_server(request), name, key, offset, _uint(fields, "byte_size"))
    return Response(media_type=_JSON)


async def _register_cuda(request: Request) -> Response:
    name = _name_to_register(request, "cuda")
    fields = await _fields(request)
    if "raw_handle" not in fields:
        raise invalid("Shared memory register request has no 'raw_handle' field")
    handle = fields["raw_handle"]
    text = _string(handle if isinstance(handle, dict) else {}, "b64")
    size_bytes = _uint(fields, "byte_size")
    device_id = _uint(fields, "device_id")
    try:
        raw = base64.b64decode(text)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _HANDLE_BYTES:
        raise invalid("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")
    await region_calls.register_cuda(_server(request), name, raw, device_id, size_bytes)
    return Response(media_type=_JSON)


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _name(request: Request) -> str:
    name: str = request.path_params.get("region", "")
    return name


def _name_to_register(request: Request, kind: str) -> str:
    name = _name(request)
    if not name:
        raise invalid(f"'region name' is necessary to register {kind} shared memory region")
    return name


async def _fields(request: Request) -> dict[str, Any]:
    document = json_text.parse(await request.body(), "failed to parse the request JSON buffer")
    return document if isinstance(document, dict) else {}


def _string(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise internal(f"attempt to access non-existing object member '{name}'")
    value = fields[name]
    if type(value) is not str:
        raise internal("attempt to access JSON non-string as string")
    return value


def _uint(fields: dict[str, Any], name: str) -> int:
    if name not in fields:
        raise internal(f"attempt to access non-existing object member '{name}'")
    value = fields[name]
    if type(value) is not int or not 0 <= value <= _MOST_UINT64:
        raise internal("attempt to access JSON non-unsigned-integer as unsigned-integer")
    return value
