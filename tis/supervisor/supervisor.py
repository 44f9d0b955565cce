"""The supervisor itself: which processes there are, what they tell it, and what it tells them."""

import signal
import time
from collections.abc import Callable
from itertools import count
from typing import Final

import zmq

from tis.contracts import messages as m
from tis.errors import TisError, internal
from tis.log import get_logger, log_block
from tis.runtime_dir import RuntimeDir
from tis.settings import ServerSettings
from tis.supervisor.addresses import Port, log_services
from tis.supervisor.cache import scheduler_grants
from tis.supervisor.calls import Calls
from tis.supervisor.child import Child
from tis.supervisor.control import ControlHub
from tis.supervisor.departures import Departures
from tis.supervisor.grants import Grants
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
from tis.supervisor.publication import Publication
from tis.supervisor.recycling import Recycling
from tis.supervisor.regions import ClientRegions
from tis.supervisor.service import Service
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
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._runtime_dir = runtime_dir.path
        self._http = http
        self._grpc = grpc
        self._metrics = metrics
        self.machine: Final = machine_under(settings)
        self.model_load_timeout_s: Final = settings.model_load_timeout_s
        self._loop = Loop()
        self._outputs = Outputs(self._loop)
        self._context = zmq.Context()
        self._hub = ControlHub(self._context, runtime_dir.path)
        self._loop.add_reader(self._hub.fileno(), self._on_control)
        self._peers = count(1)
        self._children: dict[int, Child] = {}
        #: Children that have said hello: what is sent to others is lost.
        self._greeted: set[int] = set()
        frontends = settings.frontend_count(self.machine.cores)
        self._observed = Metrics(settings, pool.data_bytes, self.later)
        self._grants = Grants(pool.data_bytes, frontends)
        self._departures = Departures(self._ask_scheduler_of, self._announce_death, self._forget)
        self._vital = VitalPlaces(
            self, runtime_dir.path, pool.fd, (http, metrics), frontends, self._departures.__contains__
        )
        self._scheduler, self._frontends = self._vital.begin(self._cannot_go_on)
        self._vigil = Vigil(self.later)
        self.calls: Final = Calls(self.send)
        self._live = LiveSettings(settings, http, grpc, self._broadcast, self._tell_frontends)
        self._live.serve(self.calls)
        self._regions = ClientRegions(self.machine.gpus, self._publish_regions, self.send)
        self._regions.serve(self.calls)
        self._publication = Publication(self.send)
        self.models: Final = Models(self._publication.publish)
        self.models.on_settled = self._models_settled
        self._loader = Loader(self, settings, self.models, self._publication)
        serve_model_control(self.calls, self._loader, settings)
        self._polling = Polling(settings, self._loader, self.models, self.later)
        self._service = Service(systemd or Systemd(), self.later, self.models.counts)
        self._recycling = Recycling(lambda: self.models.versions, self.later)
        self._started = False
        self._tables_hold = False  # until all models have settled and everybody has heard so
        self._stopping = Stopping(self, settings.exit_timeout_s)
        #: Why the server was not started at all.
        self._failure: TisError | None = None

    def run(self) -> int:
        """Serve until a signal says stop; returns the exit code.

        Raises:
            TisError: a model could not be loaded at start, and the operator wants no server then.
        """
        self._loop.on_signal(signal.SIGTERM, lambda: self._stopping.on_signal(signal.SIGTERM))
        self._loop.on_signal(signal.SIGINT, lambda: self._stopping.on_signal(signal.SIGINT))
        self._loop.on_signal(signal.SIGHUP, lambda: self._service.hangup(self.reload, self._stopping))
        self._service.begin([self._scheduler, *self._frontends])
        self._scheduler.start()
        self._vigil.begin(time.monotonic(), time.monotonic)
        self._recycling.begin()
        self._loader.load_at_start()
        self._polling.begin()
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
        self._children[child.peer] = child
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
            del self._children[child.peer]
            self._greeted.discard(child.peer)
            self._observed.ended(child.peer)
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

    def launch_worker(self, peer: int, environment: dict[str, str], where: Placement) -> Child:
        """Start a worker process."""
        return Child("tis_workers", peer, self._runtime_dir, self._pool.fd, environment=environment, placement=where)

    def tell_scheduler(self, message: m.Message) -> None:
        """Send to the scheduler."""
        self._hub.send(self._scheduler.peer, message)

    # ---- processes -------------------------------------------------------------------------------------------------

    def _frontend_peers(self) -> list[int]:
        return [place.peer for place in self._frontends if place.peer]

    def _publish_state(self) -> None:
        self._tell_frontends(m.ServerState(ready=self._ready, stopping=self._stopping.begun))
        self._service.changed()

    def _tell_frontends(self, message: m.Message) -> None:
        for peer in self._frontend_peers():
            self._hub.send(peer, message)

    def _broadcast(self, message: m.Message) -> None:
        for peer in self._greeted:
            self._hub.send(peer, message)

    @property
    def _ready(self) -> bool:
        everybody_up = self._scheduler.up and all(place.up for place in self._frontends)
        models_ready = self.models.all_ready or not self._settings.strict_readiness
        return everybody_up and self._tables_hold and self.models.settled and models_ready and not self._stopping.begun

    def _publish_regions(self, table: m.Regions) -> set[int]:
        """Tell frontends and workers the clients' regions; gives the frontends that have been told."""
        for peer in self._greeted - {self._scheduler.peer}:
            self._hub.send(peer, table)
        return self._greeted.intersection(self._frontend_peers())

    def _peer_down(self, peer: int, reason: str) -> None:
        self._regions.peer_down(peer)
        self._publication.gone(peer)
        self._departures.died(peer, reason, scheduler_lives=self._scheduler.peer in self._greeted)

    def _ask_scheduler_of(self, gone: int, reason: str) -> None:
        self._hub.send(self._scheduler.peer, m.PeerDown(gone, reason))

    def _announce_death(self, gone: int, reason: str) -> set[int]:
        for each in self._children:
            if each != self._scheduler.peer:
                self._hub.send(each, m.PeerDown(gone, reason))
        # Only these can hold anything of the dead one: a worker that still loads has not seen a request yet.
        holders = {place.peer for place in self._frontends if place.peer in self._greeted}
        holders.update(each for version in self.models.versions for each in version.peers_up())
        return holders & self._children.keys()

    def _forget(self, gone: int) -> None:
        """Nobody reads what was a dead process's, nor what workers had lent to it: its pages go back to the machine."""
        for grant in self._grants.reclaim(gone):
            self._pool.punch(*grant)
        for version in self.models.versions:
            for each in version.peers_up():
                self._hub.send(each, m.PeerForgotten(gone))

    def _after_death(self) -> None:
        self._publish_state()
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
        if isinstance(message, m.Hello):
            self._on_hello(message)
        elif isinstance(message, m.Up):
            self._on_up(message)
        elif isinstance(message, m.Loaded | m.LoadFailed):
            self.models.load_ended(message)
        elif isinstance(message, m.GrantRequest):
            grant = self._grants.grant(message.peer, message.size_bytes)
            self._hub.send(message.peer, m.GrantReply(grant))
        elif self.calls.take(message):
            return
        elif isinstance(message, m.Quiesced):
            if message.peer == self._scheduler.peer:
                self._departures.scheduler_quiesced(message.gone)
            else:
                self._departures.quiesced(message.peer, message.gone)
        elif isinstance(message, m.ServerQuery):
            self._hub.send(message.peer, self._observed.message(self._frontends, self.models, self._grants))
        elif isinstance(message, m.Heartbeat):
            self._observed.heard(message)
            self._service.heard(message.peer)
            self._vigil.heard(message, time.monotonic_ns())
        elif isinstance(message, m.TableSeen):
            self._publication.seen(message.peer, message.epoch)
        elif isinstance(message, m.Retired):
            leaving = self.models.of_load(message.load)
            if leaving is not None:
                leaving.retired(is_over=message.is_over)
        elif isinstance(message, m.InstanceRetired):
            self.models.instance_retired(message.instance)
        elif isinstance(message, m.Drained):
            self._stopping.drained(message.peer)

    def _on_hello(self, hello: m.Hello) -> None:
        peer = hello.peer
        if hello.protocol_version != m.PROTOCOL_VERSION:
            _log.error("process %d speaks another version of the server's protocol", hello.pid)
            return
        self._greeted.add(peer)
        scheduler = self._scheduler.peer
        if peer == scheduler:
            grants = scheduler_grants(self._settings, self._grants, peer)
            self._publication.scheduler_began(peer)
            self._hub.send(peer, m.Boot(self._live.now(), grants), self._publication.table)
            return
        for index, place in enumerate(self._frontends):
            if place.peer == peer:
                boot = m.Boot(self._live.now(), (self._grants.frontend_range(index),), scheduler)
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
        self._publish_state()
        self._announce()

    def _reintroduce_scheduler(self) -> None:
        """A scheduler has begun: it learns of the instances that are up, and everybody of it."""
        self._loader.unloader.scheduler_began()
        for version in self.models.versions:
            version.scheduler_began()
        for peer in self._children:
            if peer != self._scheduler.peer:
                self._hub.send(peer, m.SchedulerChanged(self._scheduler.peer))

    # ---- starting --------------------------------------------------------------------------------------------------

    def _models_settled(self) -> None:
        self._publication.when_everywhere(self._table_holds)

    def _table_holds(self) -> None:
        """Everybody acts by the table."""
        self._tables_hold = self._tables_hold or self.models.settled
        self._publish_state()
        self._announce()

    def _announce(self) -> None:
        """Say once that the server serves; or give up, where a model failed and the operator wants that."""
        everybody_up = self._scheduler.up and all(place.up for place in self._frontends)
        if self._started or self._stopping.begun or not self._tables_hold or not everybody_up:
            return
        self._started = True
        log_block(_log, "", self.models.log_table())
        if self._settings.exit_on_error and not self.models.all_ready:
            self._failure = internal("failed to load all models")
            self._stopping.begin()
            return
        log_services(self._grpc, self._http, self._metrics)
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
        self._publish_state()
        told = self._greeted.intersection(self._frontend_peers())
        for peer in told:
            self._hub.send(peer, m.Drain())
        return told

    def dismiss(self) -> None:
        """Tell all processes to end, and start none again."""
        for place in [*self._frontends, self._scheduler]:
            place.dismiss()
        for version in self.models.versions:
            version.stop()
        for peer, child in self._children.items():
            if peer in self._greeted:
                self._hub.send(peer, m.Stop())
            else:
                child.kill()

    def living(self) -> set[int]:
        """The processes that have not ended."""
        return set(self._children)

    def kill_all(self) -> None:
        """End what has not ended by itself."""
        for child in self._children.values():
            _log.error("process %d (%s) did not stop in time and is killed", child.pid, child.module)
            child.kill()

    def leave(self) -> None:
        """Nothing is left to be done."""
        self._loop.stop()
