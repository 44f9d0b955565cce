"""HTTP routes of the instances of a model, seen and changed while it serves. Beyond Triton; in every control mode."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tis.contracts import messages as m
from tis.errors import internal, invalid
from tis_frontend import instance_calls
from tis_frontend.http import json_text
from tis_frontend.http.body import bounded_body
from tis_frontend.server import Server

_JSON: Final = "application/json"
_MOST_UINT32: Final = (1 << 32) - 1


def instance_routes() -> list[BaseRoute]:
    """The routes, for the application of a frontend."""
    return [Route("/v2/repository/models/{model}/instances", _instances, methods=["GET", "POST"])]


async def _instances(request: Request) -> Response:
    """Instances of a model; with POST, {"count": N, "group": name or position} changes how many a group has."""
    server: Server = request.app.state.server
    model = request.path_params["model"]
    if request.method == "GET":
        states = await instance_calls.states(server, model)
        return Response(msgspec.json.encode([_row(each) for each in states]), media_type=_JSON)
    body = await bounded_body(request, server.settings.http_max_input_bytes)
    document = json_text.parse(body, "failed to parse the request JSON buffer")
    count, group = _change(document if isinstance(document, dict) else {})
    await instance_calls.change(server, model, count, group)
    return Response(media_type=_JSON)


def _row(instance: m.InstanceState) -> dict[str, str | int]:
    return {
        "name": instance.name,
        "version": str(instance.version),
        "group": instance.name.rpartition("_")[0],
        "kind": f"KIND_{instance.kind}",
        "device": instance.device,
        "pid": instance.pid,
        "state": instance.state,
    }


def _change(document: dict[str, Any]) -> tuple[int, str]:
    unknown = sorted(document.keys() - {"count", "group"})
    if unknown or "count" not in document:
        raise invalid(
            f"expected the members 'count' and, where there are several groups, 'group'; got {list(document)}"
        )
    count, group = document["count"], document.get("group", "")
    if type(count) is not int or not 0 <= count <= _MOST_UINT32:
        raise internal("attempt to access JSON non-unsigned-integer as unsigned-integer")
    if type(group) is int:
        group = str(group)
    if type(group) is not str:
        raise internal("attempt to access JSON non-string as string")
    return count, group
