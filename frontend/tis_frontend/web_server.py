"""uvicorn as every web service here has it: on sockets that others opened, silent, and deaf to signals."""

import asyncio
import contextlib
import socket
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

#: So long clients that have just connected may take to say what they want, when the server ends.
_LAST_MOMENT_S: Final = 0.25


class WebServer(uvicorn.Server):
    """A server that sleeps while nobody asks: uvicorn's own wakes ten times a second, to see whether it should end."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._exit = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it ends, or has ended; set from the loop's own thread."""
        return self._exit.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._exit.set()
        else:
            self._exit.clear()

    async def main_loop(self) -> None:
        """Serve until `should_exit` is set. Nothing else that uvicorn's ticks are for is asked of it: `web_server`."""
        await self.on_tick(0)
        await self._exit.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End. Who has connected at the last moment and not asked yet is told so, instead of being left without a word."""
        for server in self.servers:
            server.close()
        if any(_is_fresh(each) for each in self.server_state.connections):
            await asyncio.sleep(_LAST_MOMENT_S)
        await super().shutdown(sockets)


def _is_fresh(connection: Any) -> bool:
    return connection.cycle is None


def web_server(app: ASGIApp, **more: Any) -> uvicorn.Server:
    """A server of an app; `more` are further words for uvicorn. It ends after `should_exit` has been set.

    Its headers never change, so that one tick sets them: no date among them, no bound of requests, no callback.
    """
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
    server = WebServer(config)
    # Signals belong to the supervisor, which decides on the order of a stop.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return server
