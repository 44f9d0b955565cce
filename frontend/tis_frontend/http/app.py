"""Every HTTP route but infer: health, metadata, config, statistics. One small handler a route, errors in one place."""

from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tis.config.json_form import to_json
from tis.contracts.versions import parse_version
from tis.errors import TisError, unavailable
from tis.log import get_logger
from tis_frontend.docs.routes import DOCS_ROUTES
from tis_frontend.http.control import control_routes
from tis_frontend.http.generate import generate_routes
from tis_frontend.http.instances import instance_routes
from tis_frontend.http.interface import RawPath, error_response, interface_routes, plain_response
from tis_frontend.http.shared_memory import shared_memory_routes
from tis_frontend.http.status import STATUS, error_body
from tis_frontend.restriction import expected_headers
from tis_frontend.server import Server
from tis_frontend.statistics_form import statistics_form

_JSON: Final = "application/json"

_log = get_logger(__name__)


def build_app(server: Server) -> Starlette:
    """The ASGI application of one frontend."""
    app = Starlette(
        routes=[*interface_routes(_routes(), expected_headers(server.settings.http_restricted_apis)), *DOCS_ROUTES],
        exception_handlers={
            TisError: _on_tis_error,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            Exception: _on_exception,
        },
    )
    app.add_middleware(RawPath)
    app.router.redirect_slashes = False
    app.state.server = server
    return app


def _routes() -> list[BaseRoute]:
    model = "/v2/models/{model}"
    version = model + "/versions/{version:int}"
    routes: list[BaseRoute] = [
        Route("/v2", _metadata),
        Route("/v2/health/live", _live),
        Route("/v2/health/ready", _ready),
        Route("/v2/models/stats", _all_statistics),
        *control_routes(),
        *instance_routes(),
    ]
    routes += shared_memory_routes()
    routes += generate_routes()
    for base in (model, version):
        routes += [
            Route(base, _model_metadata),
            Route(f"{base}/ready", _model_ready),
            Route(f"{base}/config", _model_config),
            Route(f"{base}/stats", _model_statistics),
            # Infer calls are taken out by the protocol; here they arrive only with another verb or during a stop.
            Route(f"{base}/infer", _infer, methods=["POST"]),
        ]
    return routes


# ---- handlers ----------------------------------------------------------------------------------------------------------


async def _metadata(request: Request) -> Response:
    return _json(_server(request).metadata())


async def _live(request: Request) -> Response:
    _server(request).check_running()
    return plain_response()


async def _ready(request: Request) -> Response:
    server = _server(request)
    server.check_running()
    return plain_response(status=200 if server.ready else 400)


async def _model_metadata(request: Request) -> Response:
    return _json(_server(request).model_metadata(*_model_key(request)))


async def _model_ready(request: Request) -> Response:
    server = _server(request)
    server.check_running()
    if server.table.is_live(*_model_key(request)):
        return plain_response()
    return error_response("Model version not ready", 400, plain=True)


async def _model_config(request: Request) -> Response:
    model = _server(request).model(*_model_key(request))
    return _json(to_json(model.config))


async def _all_statistics(request: Request) -> Response:
    return _json({"model_stats": [statistics_form(each) for each in await _server(request).statistics("", None)]})


async def _model_statistics(request: Request) -> Response:
    found = await _server(request).statistics(*_model_key(request))
    return _json({"model_stats": [statistics_form(each) for each in found]})


async def _infer(request: Request) -> Response:
    _server(request).check_running()
    raise unavailable("Server exiting")


# ---- forms -------------------------------------------------------------------------------------------------------------


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _model_key(request: Request) -> tuple[str, int | None]:
    version: int | None = request.path_params.get("version")
    return request.path_params["model"], None if version is None else parse_version(str(version))


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


# ---- errors ------------------------------------------------------------------------------------------------------------


async def _on_tis_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, TisError):
        raise error
    return Response(error_body(error), status_code=STATUS[error.code], media_type=_JSON)


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return error_response(error.detail, error.status_code, plain=True)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """The client has gone before its body was there: nobody gets this."""
    return Response(status_code=400)


async def _on_exception(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return Response(msgspec.json.encode({"error": f"internal error: {error}"}), status_code=500, media_type=_JSON)
