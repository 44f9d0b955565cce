"""uvicorn as every web service here has it: on sockets that others opened, silent, and deaf to signals."""

import contextlib
from typing import Any

import uvicorn
from starlette.types import ASGIApp


def web_server(app: ASGIApp, **more: Any) -> uvicorn.Server:
    """A server of an app; `more` are further words for uvicorn. It ends after `should_exit` has been set."""
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
        **more,
    )
    server = uvicorn.Server(config)
    # Signals belong to the supervisor, which decides on the order of a stop.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return server
