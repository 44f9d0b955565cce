"""The supervisor itself: which processes there are, what they tell it, and what it tells them."""

import signal
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import zmq

from tis.contracts import messages as m
from tis.contracts.namespaces import Namespaces
from tis.environments.interpreter import Interpreter
from tis.environments.keeping import chosen_folder
from tis.errors import TisError
from tis.log import get_logger
from tis.runtime_dir import RuntimeDir
from tis.settings import ServerSettings
from tis.supervisor.addresses import Port, log_services
from tis.supervisor.cache import scheduler_grants
from tis.supervisor.calls import Calls
from tis.supervisor.child import Child
from tis.supervisor.control import ControlHub
from tis.supervisor.custom_metrics import CustomMetrics
from tis.supervisor.environments import Environments
from tis.supervisor.errands import Errands
from tis.supervisor.grants import Grants
from tis.supervisor.instance_control import serve_instance_control
from tis.supervisor.live_settings import LiveSettings
from tis.supervisor.loader import Loader
from tis.supervisor.loop import Loop
from tis.supervisor.machine import machine_under
from tis.supervisor.metrics import Metrics
from tis.supervisor.model_control import serve_model_control
from tis.supervisor.models import Models
from tis.supervisor.output import Outputs
from tis.supervisor.placement import Placement
from tis.supervisor.polling import Polling
from tis.supervisor.processes import Processes
from tis.supervisor.publication import Publication
from tis.supervisor.reclaiming import Reclaiming
from tis.supervisor.recycling import Recycling
from tis.supervisor.regions import ClientRegions
from tis.supervisor.service import Service
from tis.supervisor.starting import Starting
from tis.supervisor.stopping import Stopping
from tis.supervisor.systemd import Systemd
from tis.supervisor.vigil import Vigil
from tis.supervisor.vital import VitalPlaces
from tis_shm.pool import Pool

_log = get_logger(__name__)


class Supervisor:
    """Everything that `tis serve` runs."""

    def __init__(
        self,
        settings: ServerSettings,
        pool: Pool,
        runtime_dir: RuntimeDir,
        http: Port | None,
        grpc: Port | None,
        metrics: Port | None = None,
        systemd: Systemd | None = None,
        direct: Port | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._runtime_dir = runtime_dir.path
        self._http = http
        self._grpc = grpc
        self._metrics = metrics
        self._direct = direct
        self.machine: Final = machine_under(settings)
        self.model_load_timeout_s: Final = settings.model_load_timeout_s
        self.backend_directory: Final = settings.backend_directory
        self._loop = Loop()
        self.environments: Final = Environments(self._loop, chosen_folder(settings.environment_directory))
        self._outputs = Outputs(self._loop)
        self._context = zmq.Context()
        self._hub = ControlHub(self._context, runtime_dir.path)
        self._loop.add_reader(self._hub.fileno(), self._on_control)
        self._peers = count(1)
        self._processes = Processes(self._hub)
        frontends = settings.frontend_count(self.machine.cores)
        self._custom = CustomMetrics(self.send)
        self._observed = Metrics(settings, pool.data_bytes, self.later, self._custom.families)
        self._grants = Grants(pool.data_bytes, frontends)
        self._reclaiming = Reclaiming(self._processes, self._grants, pool)
        ports = (http, metrics, grpc if settings.grpc_server == "native" else None, direct)
        self._vital = VitalPlaces(self, runtime_dir.path, pool.fd, ports, frontends, self._reclaiming.__contains__)
        self._scheduler, self._frontends = self._vital.begin(self._cannot_go_on)
        self._processes.settle(self._scheduler, self._frontends)
        self._vigil = Vigil(self.later)
        self.calls: Final = Calls(self.send)
        self._live = LiveSettings(settings, http, grpc, self._processes.tell_all, self._processes.tell_frontends)
        self._live.serve(self.calls)
        self._regions = ClientRegions(self.machine.gpus, self._publish_regions, self.send, pool.data_bytes)
        self._regions.serve(self.calls)
        self._publication = Publication(self.send)
        self.models: Final = Models(self._publication.publish, Namespaces.of(settings))
        self._processes.workers_up = self.models.peers_up
        self._errands = Errands(self._loop.hand_over)
        self._loader = Loader(self, settings, self.models, self._publication, self._errands)
        serve_model_control(self.calls, self._loader, settings)
        serve_instance_control(self.calls, self._loader, self.models, self.send)
        self._polling = Polling(settings, self._loader, self.models, self.later, self._errands)
        self._service = Service(systemd or Systemd(), self.later, self.models.counts)
        self._recycling = Recycling(lambda: self.models.versions, self.later)
        failure = self._loader.start_failure if settings.exit_on_error else lambda: None
        self._starting = Starting(self, self._processes, self.models, self._publication, self._serves, failure)
        self.models.on_settled = self._models_changed
        self._stopping = Stopping(self, settings.exit_timeout_s)
        #: Why the server was not started at all.
        self._failure: TisError | None = None
        self._handlers = self._handler_of_each()

    def run(self) -> int:
        """Serve until a signal says stop; returns the exit code.

        Raises:
            TisError: a model could not be loaded at start, and the operator wants no server then.
        """
        self._loop.on_signal(signal.SIGTERM, lambda: self._stopping.on_signal(signal.SIGTERM))
        self._loop.on_signal(signal.SIGINT, lambda: self._stopping.on_signal(signal.SIGINT))
        self._loop.on_signal(signal.SIGHUP, lambda: self._service.hangup(self.reload, self._stopping))
        self._service.begin([self._scheduler, *self._frontends])
        # What changes after this is told later, if its load has not seen it.
        self._polling.begin()
        # Before any process is there: it may find that there is nothing to serve from.
        self._loader.load_at_start()
        self._scheduler.start()
        self._vigil.begin(time.monotonic(), time.monotonic)
        self._recycling.begin()
        for place in self._frontends:
            place.start()
        self._loop.run(self._on_control)
        self._loop.close()
        self._live.close()
        self._regions.close()
        self._hub.close()
        self._context.term()
        if self._failure is not None:
            raise self._failure
        return self._stopping.exit_code

    # ---- what places and versions need -----------------------------------------------------------------------------

    def new_peer(self) -> int:
        """A peer id that no process has had before."""
        return next(self._peers)

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back after a delay."""
        self._loop.later(delay_s, callback)

    def watch(self, child: Child, died: Callable[[str], None]) -> None:
        """Call back when the child has ended, after everybody has been told."""
        self._processes.children[child.peer] = child
        self._outputs.add(child, self.models.instance_name(child.peer) or child.module)
        self._observed.started(child, child.replaces)
        self._vigil.watch(child)

        def ended() -> None:
            self._loop.remove_reader(child.pidfd)
            # What it still said before it died comes first.
            self._outputs.finish(child)
            self._on_control()
            reason = child.reap()
            self._vigil.ended(child.peer)
            self._processes.gone(child.peer)
            self._observed.ended(child.peer)
            self._custom.ended(child.peer)
            self._peer_down(child.peer, reason)
            died(reason)
            self._after_death()

        self._loop.add_reader(child.pidfd, ended)

    def send(self, peer: int, *messages: m.Message) -> None:
        """Send to one child."""
        self._hub.send(peer, *messages)

    def end(self, peer: int) -> None:
        """Tell a child to end; one that does not is killed after a while."""
        self._vigil.told_to_end(peer)
        self._hub.send(peer, m.Stop())

    def launch_worker(
        self, peer: int, environment: dict[str, str], where: Placement, interpreter: Interpreter
    ) -> Child:
        """Start a worker process."""
        return Child(
            "tis_workers",
            peer,
            self._runtime_dir,
            self._pool.fd,
            environment=environment,
            placement=where,
            interpreter=interpreter,
        )

    def tell_scheduler(self, message: m.Message) -> None:
        """Send to the scheduler."""
        self._processes.tell_scheduler(message)

    # ---- processes -------------------------------------------------------------------------------------------------

    def state_changed(self) -> None:
        """Readiness may be another one: tell those who are asked for it."""
        self._processes.tell_frontends(m.ServerState(ready=self._ready, stopping=self._stopping.begun))
        self._service.changed()

    @property
    def _ready(self) -> bool:
        models_ready = self.models.all_ready or not self._settings.strict_readiness
        return self._processes.vital_are_up and self._starting.tables_hold and models_ready and not self._stopping.begun

    def _publish_regions(self, table: m.Regions) -> set[int]:
        """Tell frontends and workers the clients' regions; gives the frontends that have been told."""
        self._processes.tell_others(table)
        return self._processes.frontends()

    def _peer_down(self, peer: int, reason: str) -> None:
        self._regions.peer_down(peer)
        self._publication.gone(peer)
        self._reclaiming.died(peer, reason)

    def _after_death(self) -> None:
        self.state_changed()
        self._stopping.process_ended()

    def _cannot_go_on(self, reason: str) -> None:
        _log.error("the server cannot go on without this process: it %s again and again", reason)
        self._stopping.exit_code = 1
        self._stopping.begin()

    # ---- what children say -----------------------------------------------------------------------------------------

    def _on_control(self) -> None:
        for message in self._hub.receive():
            self._on_message(message)

    def _on_message(self, message: m.AnyMessage) -> None:
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(message)
        else:
            self.calls.take(message)

    def _handler_of_each(self) -> dict[type[m.Message], Callable[[Any], None]]:
        """Who takes what children say, calls of clients excepted."""
        return {
            m.Hello: self._on_hello,
            m.Up: self._on_up,
            m.Loaded: self.models.load_ended,
            m.LoadFailed: self.models.load_ended,
            m.GrantRequest: self._on_grant_request,
            m.GrantReturn: self._reclaiming.given_back,
            m.Quiesced: self._reclaiming.quiesced,
            m.ServerQuery: self._on_query,
            m.Heartbeat: self._on_heartbeat,
            m.TableSeen: lambda seen: self._publication.seen(seen.peer, seen.epoch),
            m.FollowTable: lambda follower: self._publication.follow(follower.peer),
            m.Retired: self._on_retired,
            m.InstanceRetired: lambda retired: self.models.instance_retired(retired.instance),
            m.Drained: lambda drained: self._stopping.drained(drained.peer),
            **self._custom.handlers(),
        }

    def _on_grant_request(self, request: m.GrantRequest) -> None:
        self._hub.send(request.peer, m.GrantReply(self._grants.grant(request.peer, request.size_bytes)))

    def _on_retired(self, retired: m.Retired) -> None:
        leaving = self.models.of_load(retired.load)
        if leaving is not None:
            leaving.retired(is_over=retired.is_over)

    def _on_query(self, query: m.ServerQuery) -> None:
        self._hub.send(query.peer, self._observed.message(self._frontends, self.models, self._grants))

    def _on_heartbeat(self, beat: m.Heartbeat) -> None:
        self._observed.heard(beat)
        self._service.heard(beat.peer)
        self._vigil.heard(beat, time.monotonic_ns())

    def _on_hello(self, hello: m.Hello) -> None:
        peer = hello.peer
        if hello.protocol_version != m.PROTOCOL_VERSION:
            _log.error("process %d speaks another version of the server's protocol", hello.pid)
            return
        self._processes.greeted.add(peer)
        scheduler = self._scheduler.peer
        if peer == scheduler:
            grants = scheduler_grants(self._settings, self._grants, peer)
            self._publication.scheduler_began(peer)
            self._hub.send(peer, m.Boot(self._live.now(), grants), self._publication.table)
            return
        frontend = self._processes.frontend_of(peer)
        if frontend is not None:
            boot = m.Boot(self._live.now(), (self._grants.frontend_range(frontend),), scheduler)
            state = m.ServerState(ready=self._ready, stopping=self._stopping.begun)
            self._publication.frontend_began(peer)
            self._hub.send(peer, boot, self._publication.table, state, self._live.trace(), self._regions.table())
            return
        version = self.models.of_peer(peer)
        if version is not None:
            self._hub.send(peer, m.Boot(self._live.now(), (), scheduler, version.threads(peer)), self._regions.table())
            version.hello(peer)

    def _on_up(self, up: m.Up) -> None:
        peer = up.peer
        self._vigil.up(peer)
        if peer == self._scheduler.peer:
            self._scheduler.up = True
            self._reintroduce_scheduler()
        for place in self._frontends:
            if place.peer == peer:
                place.up = True
        version = self.models.of_peer(peer)
        if version is not None:
            version.up(peer, up.warmups)
        self.state_changed()
        self._starting.look()

    def _reintroduce_scheduler(self) -> None:
        """A scheduler has begun: it learns of the instances that are up, and everybody of it."""
        self._loader.unloader.scheduler_began()
        for version in self.models.versions:
            version.scheduler_began()
        self._processes.tell_others(m.SchedulerChanged(self._scheduler.peer))

    # ---- starting --------------------------------------------------------------------------------------------------

    @property
    def stop_has_begun(self) -> bool:
        """Whether the server is on its way out."""
        return self._stopping.begun

    def give_up(self, failure: TisError) -> None:
        """Stop, and end with this error."""
        self._failure = failure
        self._stopping.begin()

    def _models_changed(self) -> None:
        self._service.changed()
        self._starting.models_settled()

    def _serves(self) -> None:
        log_services(self._grpc, self._http, self._metrics, self._direct)
        self._service.started()

    # ---- reloading -------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """What may be taken anew while the server runs: the files of the log, and in poll mode the repositories."""
        self._live.reopen_logs()
        self._polling.rescan()

    # ---- stopping: what the order of a stop asks for ---------------------------------------------------------------

    def drain(self) -> set[int]:
        """Tell frontends to accept no more; gives those that will say when nothing is in flight."""
        self._vigil.over = True
        self._service.stopping(self._settings.exit_timeout_s)
        self.state_changed()
        self._vital.stop_listening()
        told = self._processes.frontends()
        for peer in told:
            self._hub.send(peer, m.Drain())
        return told

    def dismiss(self) -> None:
        """Tell all processes to end, and start none again."""
        self._errands.close()
        for place in [*self._frontends, self._scheduler]:
            place.dismiss()
        for version in self.models.versions:
            version.stop()
        for peer, child in self._processes.children.items():
            if peer in self._processes.greeted:
                self._hub.send(peer, m.Stop())
            else:
                child.kill()

    def living(self) -> set[int]:
        """The processes that have not ended."""
        return set(self._processes.children)

    def kill_all(self) -> None:
        """End what has not ended by itself."""
        for child in self._processes.children.values():
            _log.error("process %d (%s) did not stop in time and is killed", child.pid, child.module)
            child.kill()

    def leave(self) -> None:
        """Nothing is left to be done."""
        self._loop.stop()
