"""Entry point of a frontend process: builds the core and its faces, then follows the supervisor until told to stop."""

import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING, Final

import uvicorn
import uvloop
import zmq

from tis.carrier.spin import most_spin_ns
from tis.contracts import messages as m
from tis.contracts.control import BOOT_DEADLINE_S, ControlLink
from tis.contracts.namespaces import Namespaces
from tis.errors import unavailable
from tis.log import configure
from tis.process import ChildArguments, begin_child, settle
from tis_frontend.access_log import AccessLog
from tis_frontend.control_calls import ControlCalls
from tis_frontend.core import Core
from tis_frontend.direct.server import DirectServer
from tis_frontend.doors import DOORS
from tis_frontend.grpc.native.server import NativeServer
from tis_frontend.grpc.service import InferenceService
from tis_frontend.http.access import LoggedApp, logged_call
from tis_frontend.http.app import build_app
from tis_frontend.http.held import give_up_largest
from tis_frontend.http.infer_call import InferCall
from tis_frontend.http.protocol import InferProtocol, protocol_class
from tis_frontend.leftovers import Leftovers
from tis_frontend.metrics.app import Metrics, serve
from tis_frontend.metrics.app import build_app as build_metrics_app
from tis_frontend.metrics.query import ServerQueries
from tis_frontend.model_table import ModelTable
from tis_frontend.restriction import expected_headers
from tis_frontend.server import Server
from tis_frontend.stalls import Exchange, Stalls
from tis_frontend.trace import Tracer
from tis_frontend.web_server import web_server
from tis_shm.pool import Pool
from tis_shm.slab import Grant, Slab

if TYPE_CHECKING:
    from grpc.aio import Server as GrpcioServer

    from tis_frontend.spans import Spans

_HEARTBEAT_S: Final = 1.0
_BACKLOG: Final = 2048


class Frontend:
    """The process."""

    def __init__(self, arguments: ChildArguments, control: ControlLink, server: Server) -> None:
        self._arguments = arguments
        self._control = control
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._http: uvicorn.Server | None = None
        self._http_protocol: type[InferProtocol] | None = None
        self._grpc: NativeServer | GrpcioServer | None = None
        self._direct: DirectServer | None = None
        self._tracer = Tracer(
            lambda traces: control.send(m.Traces(control.peer, traces)),
            _spans(server.settings.span_settings) if server.settings.exports_spans else None,
        )
        self._access = (
            AccessLog(server.settings.access_log, server.settings.log_format) if server.settings.access_log else None
        )
        server.core.tracer = self._access
        self._leftovers = Leftovers()
        self._stalls = Stalls(server.settings.stall_timeout_s)
        self._server_queries = ServerQueries(control, self._on_control)

    async def run(self) -> None:
        """Serve until told to stop."""
        serving: asyncio.Task[None] | None = None
        settings = self._server.settings
        # The model table has come with the boot: whoever connects must find it.
        self._server.core.connect()
        self._on_control()
        if settings.allow_http:
            self._http = self._build_http()
            listening = socket.socket(fileno=self._arguments.http_fd)
            serving = asyncio.ensure_future(self._http.serve(sockets=[listening]))
        metrics: uvicorn.Server | None = None
        if settings.allow_metrics:
            scrapes = Metrics(settings, self._server.core, self._server_queries)
            listening = socket.socket(fileno=self._arguments.metrics_fd)
            metrics, serving_metrics = serve(listening, build_metrics_app(scrapes.text))
            asyncio.ensure_future(serving_metrics)  # noqa: RUF006 - it ends before the process does
        if settings.allow_grpc:
            self._grpc = await self._start_grpc()
        if self._arguments.zmq_fd >= 0:
            self._direct = DirectServer(self._server, self._access)
            await self._direct.start(socket.socket(fileno=self._arguments.zmq_fd))
        self._loop.add_reader(self._control.socket.fileno(), self._on_control)
        self._control.send(m.Up(self._control.peer))
        settle()
        beating = asyncio.ensure_future(self._beat())
        await self._stop.wait()
        beating.cancel()
        self._loop.remove_reader(self._control.socket.fileno())
        # After an orderly drain nothing is left; else these clients get an answer before their connections end.
        self._server.core.fail_all(unavailable("Server exiting"))
        if self._direct is not None:
            await self._direct.stop()
        if self._grpc is not None:
            await self._grpc.stop(0.1)
        if metrics is not None:
            metrics.should_exit = True
        if self._http is not None and serving is not None:
            self._http.should_exit = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(serving, 1.0)
        self._tracer.close()
        if self._access is not None:
            self._access.close()
        self._server.core.close()

    async def _start_grpc(self) -> "NativeServer | GrpcioServer":
        settings = self._server.settings
        service = InferenceService(self._server)
        if settings.grpc_server == "grpcio":
            from tis_frontend.grpc.server import start_grpc  # 20 MiB that nobody else needs

            return await start_grpc(service, settings, self._access)
        server = NativeServer(service, settings, self._access)
        await server.start(socket.socket(fileno=self._arguments.grpc_fd))
        return server

    def _build_http(self) -> uvicorn.Server:
        server = self._server
        app = build_app(server)
        self._http_protocol = protocol_class(
            server.core,
            server.table,
            server.settings.http_max_input_bytes,
            server.settings.http_header_forward_pattern,
            expected_headers(server.settings.http_restricted_apis).get("inference"),
            InferCall if self._access is None else logged_call(self._access),
        )
        return web_server(
            app if self._access is None else LoggedApp(app, self._access), http=self._http_protocol, backlog=_BACKLOG
        )

    async def _beat(self) -> None:
        core = self._server.core
        while True:
            self._control.send(m.Heartbeat(self._control.peer, core.used_bytes, core.pending, core.late_answers))
            self._on_control()
            self._look_at_clients()
            await asyncio.sleep(_HEARTBEAT_S)

    def _look_at_clients(self) -> None:
        """Take back what those hold that have stopped in the middle."""
        exchanges: list[Exchange] = []
        DOORS.look(self._loop.time())
        self._leftovers.look(sum(DOORS.inside.values()))
        if isinstance(self._grpc, NativeServer):
            self._grpc.look()
            exchanges += self._grpc.exchanges()
        if self._http is not None:
            connections = self._http.server_state.connections
            calling = [each for each in connections if isinstance(each, InferProtocol)]
            give_up_largest(calling)
            exchanges += calling
        if self._stalls.is_on:
            for each in self._stalls.look(exchanges, self._loop.time()):
                each.give_up()

    # ---- from the supervisor ---------------------------------------------------------------------------------------

    def _on_control(self) -> None:
        # The socket's descriptor signals changes, not states, and a send may swallow one: so read until it is empty.
        while messages := self._control.receive():
            for message in messages:
                self._follow(message)

    def _follow(self, message: m.AnyMessage) -> None:
        server = self._server
        if isinstance(message, m.Table):
            server.table.replace(message)
            # Requests for what is gone must be on their way before this is said.
            server.core.flush()
            self._control.send(m.TableSeen(self._control.peer, message.epoch))
        elif isinstance(message, m.ServerState):
            server.ready = message.ready
            server.stopping = message.stopping
            if self._http_protocol is not None:
                self._http_protocol.stopping = message.stopping
            if message.stopping:
                # At once: who connects from here on waits for the next server, where somebody else holds the port.
                self._close_listeners()
        elif isinstance(message, m.LogChanged):
            server.log = message.settings
            if self._access is not None:
                self._access.reopen(message.settings.format)
        elif isinstance(message, m.TraceChanged):
            server.trace.replace(message)
            self._trace(message)
        elif isinstance(message, m.SchedulerChanged):
            server.core.connect()
        elif isinstance(message, m.Regions):
            if server.core.regions.replace(message):
                server.table.forget_regions()
            self._control.send(m.RegionsSeen(self._control.peer, message.epoch))
        elif isinstance(message, m.ServerMetrics):
            self._server_queries.answered(message)
        elif isinstance(message, m.CallReply | m.InstanceStates):
            server.calls.replied(message)
        elif isinstance(message, m.PeerDown):
            gone = message.peer
            server.core.when_quiesced(lambda: self._control.send(m.Quiesced(self._control.peer, gone)))
        elif isinstance(message, m.Drain):
            asyncio.ensure_future(self._drain())  # noqa: RUF006 - it ends before the process does
        elif isinstance(message, m.Stop):
            self._stop.set()

    def _trace(self, changed: m.TraceChanged) -> None:
        """Requests are looked at by a tracer only while some of them are traced."""
        tracer = self._tracer if self._tracer.replace(changed) else None
        if self._access is not None:
            self._access.tracer = tracer
        else:
            self._server.core.tracer = tracer

    def _close_listeners(self) -> None:
        if self._direct is not None:
            self._direct.close_listener()
        if isinstance(self._grpc, NativeServer):
            self._grpc.close_listener()
        if self._http is not None:
            listeners = getattr(self._http, "servers", None)
            if listeners is None:
                # The stop has come before uvicorn has begun to listen.
                self._http.should_exit = True
            for listener in listeners or ():
                listener.close()

    async def _drain(self) -> None:
        """Accept no more, and say so when nothing is in flight."""
        self._close_listeners()
        await self._server.core.idle()
        if isinstance(self._grpc, NativeServer):
            await self._grpc.written()
        self._control.send(m.Drained(self._control.peer))


def _spans(settings: tuple[tuple[str, str], ...]) -> "Spans":
    from tis_frontend.spans import Spans  # what it stands on is an extra

    return Spans(settings)


async def _main(arguments: ChildArguments) -> None:
    loop = asyncio.get_running_loop()
    context = zmq.Context()
    control = ControlLink(context, arguments.runtime_dir, arguments.peer)
    boot = control.wait_for(m.Boot, BOOT_DEADLINE_S)
    configure(boot.settings.log, "frontend", pipe_fd=arguments.log_fd)
    pool = Pool.attach(arguments.pool_fd)
    slab = Slab(pool, [Grant(*grant) for grant in boot.grants])
    # grpcio's own threads could not run while the loop does not sleep.
    spin_ns = 0 if boot.settings.grpc_server == "grpcio" else most_spin_ns(boot.settings.spin_us)
    core = Core(arguments.runtime_dir, arguments.peer, pool, slab, loop, spin_ns)
    core.caches = bool(boot.settings.cache_config)
    table = ModelTable(Namespaces.of(boot.settings))
    server = Server(boot.settings, core, table, ControlCalls(control), log=boot.settings.log)
    await Frontend(arguments, control, server).run()
    control.close()
    context.term()


def main() -> None:
    """Run a frontend."""
    arguments = begin_child("frontend")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    uvloop.run(_main(arguments))


if __name__ == "__main__":
    main()
