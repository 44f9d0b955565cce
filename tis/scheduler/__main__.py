"""Entry point of the scheduler process; started by the supervisor."""

import signal

import zmq

from tis.carrier import poller
from tis.contracts import messages
from tis.contracts.control import BOOT_DEADLINE_S, ControlLink
from tis.log import configure
from tis.process import begin_child, settle
from tis.scheduler.loop import SchedulerLoop
from tis_shm.pool import Pool


def main() -> None:
    """Run the scheduler until the supervisor says stop."""
    arguments = begin_child("scheduler")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    context = zmq.Context()
    control = ControlLink(context, arguments.runtime_dir, arguments.peer)
    boot = control.wait_for(messages.Boot, BOOT_DEADLINE_S)
    configure(boot.settings.log, "scheduler", pipe_fd=arguments.log_fd)
    poller.configure(boot.settings.spin_us)
    pool = Pool.attach(arguments.pool_fd)
    loop = SchedulerLoop(arguments.runtime_dir, arguments.peer, control, pool, boot.settings, boot.grants)
    settle()
    loop.run()
    control.close()
    context.term()


if __name__ == "__main__":
    main()
