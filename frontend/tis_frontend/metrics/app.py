"""The metrics service of one frontend. Any frontend tells the same, since none of them counts anything itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tis.errors import TisError
from tis.settings import ServerSettings
from tis_frontend.core import Core
from tis_frontend.http.status import STATUS
from tis_frontend.metrics.cache import cache_lines, cache_summary_lines
from tis_frontend.metrics.custom import with_custom
from tis_frontend.metrics.gpus import Gpus
from tis_frontend.metrics.machine import machine_lines, process_lines
from tis_frontend.metrics.models import counter_lines, distribution_lines
from tis_frontend.metrics.query import ServerQueries
from tis_frontend.web_server import web_server

_DEADLINE_S: Final = 5.0
_TEXT: Final = "text/plain"


class Metrics:
    """Asks whoever knows, and renders."""

    def __init__(self, settings: ServerSettings, core: Core, server: ServerQueries) -> None:
        self._settings = settings
        self._core = core
        self._server = server
        self._gpus = Gpus(settings.metrics_interval_ms / 1000)

    async def text(self) -> str:
        """Everything in Prometheus' format.

        Raises:
            TisError: the scheduler is not there.
            TimeoutError: somebody did not answer in time.
        """
        async with asyncio.timeout(_DEADLINE_S):
            (models, cache), server = await asyncio.gather(self._core.metrics(), self._server.ask())
            gpus = await self._gpus.readings() if self._settings.allow_gpu_metrics else []
        lines = [
            *counter_lines(models, server.load_times, self._settings),
            *cache_lines(models, cache),
            *machine_lines(server, gpus, self._settings),
            *distribution_lines(models, self._settings),
            *cache_summary_lines(models, self._settings),
            *process_lines(server),
        ]
        return "\n".join([*with_custom(lines, server.custom), ""])


def build_app(text: Callable[[], Awaitable[str]]) -> Starlette:
    """The ASGI application: `GET /metrics`, answered with what `text` gives."""

    async def answer(request: Request) -> Response:
        if request.method != "GET":
            raise HTTPException(405)
        if request.url.path.rstrip("/") != "/metrics":
            raise HTTPException(404)
        try:
            return Response(await text(), media_type=_TEXT)
        except TisError as error:
            return Response(error.message, status_code=STATUS[error.code], media_type=_TEXT)
        except TimeoutError:
            return Response("the server did not answer in time", status_code=503, media_type=_TEXT)

    return Starlette(routes=[Route("/{path:path}", answer)], exception_handlers={HTTPException: _on_http_exception})


def serve(listening: socket.socket, app: Starlette) -> tuple[uvicorn.Server, Awaitable[None]]:
    """Serve on a socket that the supervisor listens on; ends after `should_exit` has been set."""
    server = web_server(app)
    return server, server.serve(sockets=[listening])


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    body = msgspec.json.encode({"error": error.detail})
    return Response(body, status_code=error.status_code, headers={"Content-Type": _TEXT})
