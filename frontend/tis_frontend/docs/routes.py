"""The routes of the description: `/openapi.json` and the page at `/docs`. Triton has neither."""

from importlib.resources import files
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tis_frontend.docs.openapi import document, example_generate, example_request, ready_models
from tis_frontend.server import Server

_PAGE: Final = files("tis_frontend.docs").joinpath("page.html").read_text()


async def _openapi(request: Request) -> Response:
    """The OpenAPI document."""
    body = msgspec.json.encode(document(_server(request), request.app.routes))
    return Response(body, media_type="application/json")


async def _page(_request: Request) -> Response:
    """A page on which the models can be tried."""
    return HTMLResponse(_PAGE)


async def _models(request: Request) -> Response:
    """What the page shows of each ready model."""
    server = _server(request)
    found = [
        {
            **server.model_metadata(spec.identifier, None),
            "name": server.table.plainest(spec),
            "max_batch_size": spec.max_batch_size,
            "example": example_request(spec),
            "generate": example_generate(spec),
        }
        for spec in ready_models(server)
    ]
    return Response(msgspec.json.encode(found), media_type="application/json")


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


DOCS_ROUTES: Final = (
    Route("/openapi.json", _openapi, include_in_schema=False),
    Route("/docs", _page, include_in_schema=False),
    Route("/docs/models", _models, include_in_schema=False),
)
