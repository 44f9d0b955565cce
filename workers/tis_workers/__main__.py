"""Entry point of a worker process; started by the supervisor for one instance of one model version."""

import faulthandler
import sys
import traceback
from typing import NoReturn

import zmq

from tis.carrier import poller
from tis.carrier.datagram import Outbox
from tis.contracts import messages as m
from tis.contracts.control import BOOT_DEADLINE_S, ControlLink
from tis.errors import TisError, internal
from tis.log import configure
from tis.process import begin_child, settle
from tis_shm.pool import Pool
from tis_shm.slab import Grant
from tis_workers import forks
from tis_workers.backends import load_backend
from tis_workers.backends.base import Backend, LoadContext
from tis_workers.heap import keep_freed_memory
from tis_workers.output import OutputWriter
from tis_workers.priority import set_priority
from tis_workers.runner import Runner
from tis_workers.states import initial_states
from tis_workers.warmup import warm_up

_EXIT_LOAD_FAILED = 3
_SERVE_DEADLINE_S = 600.0


def _load(order: m.LoadModel, boot: m.Boot, control: ControlLink) -> Backend:
    spec = order.spec
    said = {key: value for backend, key, value in boot.settings.backend_config if backend in ("", spec.backend)}
    try:
        instance = spec.instances[order.instance]
        context = LoadContext(spec, instance, boot.threads, order.complete, order.config_json, control, said)
        backend = load_backend(context)
        # Now rather than when it serves: a state that cannot be had keeps the model from loading.
        initial_states(spec)
        return backend
    except TisError:
        raise
    except Exception as error:
        raise internal(f"{type(error).__name__}: {error}\n{traceback.format_exc()}") from error


def _give_up(error: TisError, control: ControlLink, context: "zmq.Context[zmq.Socket[bytes]]") -> NoReturn:
    control.send(m.LoadFailed(control.peer, error.code, error.message))
    control.close()
    context.term()
    sys.exit(_EXIT_LOAD_FAILED)


def _warm_up(order: m.LoadModel, serve: m.ServeModel, backend: Backend, pool: Pool) -> tuple[m.Warmup, ...]:
    instance = order.spec.instances[order.instance]
    return () if instance.passive else warm_up(backend, serve.spec, instance.name, pool, backend.backchannel)


def main() -> None:
    """Load the model that the supervisor names and serve it until told to stop."""
    arguments = begin_child("worker")
    forks.keep_running_on_sigterm()
    keep_freed_memory()
    faulthandler.enable()
    context = zmq.Context()
    control = ControlLink(context, arguments.runtime_dir, arguments.peer)
    boot = control.wait_for(m.Boot, BOOT_DEADLINE_S)
    order = control.wait_for_or_stop(m.LoadModel, BOOT_DEADLINE_S)
    if order is None:
        # It is not wanted any more.
        control.close()
        context.term()
        return
    configure(
        boot.settings.log,
        order.spec.instances[order.instance].name,
        capture_foreign=not order.spec.runs_python,
        pipe_fd=arguments.log_fd,
    )
    poller.configure(boot.settings.spin_us)
    set_priority(order.spec.name, order.spec.priority, is_first=order.instance == 0)
    try:
        backend = _load(order, boot, control)
    except TisError as error:
        _give_up(error, control, context)
    control.send(m.Loaded(arguments.peer, backend.signature(), backend.proposed_config()))
    serve = control.wait_for_or_stop(m.ServeModel, _SERVE_DEADLINE_S)
    if serve is None:
        # The config does not agree with the file, another instance failed, or the server stops.
        backend.finalize()
        control.close()
        context.term()
        return
    try:
        backend.config_json = serve.config_json
        backend.serve(serve.spec)
    except TisError as error:
        _give_up(error, control, context)
    pool = Pool.attach(arguments.pool_fd)
    backend.map_pool(pool.data)
    try:
        warmups = _warm_up(order, serve, backend, pool)
    except TisError as error:
        backend.finalize()
        _give_up(error, control, context)
    outbox = Outbox(arguments.runtime_dir)
    writer = OutputWriter(pool, [Grant(*grant) for grant in boot.grants], outbox, control)
    runner = Runner(arguments.runtime_dir, control, pool, writer, outbox, backend, boot.scheduler)
    settle()
    runner.run(warmups)
    control.close()
    context.term()


if __name__ == "__main__":
    main()
