"""The server that `tools/run` starts: waited for, told to stop, never left behind."""

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tools.demo.place import Place

_POLL_S: Final = 0.1
_ANSWER_S: Final = 5.0
_REPORT_EVERY_S: Final = 5.0


class ServerEndedError(Exception):
    """The server ended by itself; its own output, already shown, says why."""


class Server:
    """A running `tis serve`."""

    def __init__(self, place: Place) -> None:
        self.place: Final = place
        self._started = time.monotonic()
        # In a process group of its own: a terminal's Ctrl+C goes to this program alone, which hands it on once.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tis", "serve", *place.flags], stdin=subprocess.DEVNULL, process_group=0
        )

    def wait_until_ready(self, report: Callable[[str], None]) -> None:
        """Return once the server says that it is ready; tells of each model as it becomes so.

        Raises:
            ServerEndedError: it ended first.
        """
        loading = list(self.place.models)
        next_report = self._started + _REPORT_EVERY_S
        while not (self._is_ok("/v2/health/ready") and not loading):
            if self._process.poll() is not None:
                raise ServerEndedError(f"the server ended with status {self._process.returncode} while it started")
            for model in [each for each in loading if self._is_ok(f"/v2/models/{each}/ready")]:
                loading.remove(model)
                report(f"  {model}: ready after {time.monotonic() - self._started:.1f} s")
            if time.monotonic() >= next_report:
                next_report += _REPORT_EVERY_S
                waited_s = time.monotonic() - self._started
                report(f"  not ready after {waited_s:.0f} s: {', '.join(loading) or 'the server'}")
            time.sleep(_POLL_S)

    def wait(self) -> int:
        """Return the server's exit status once it has ended."""
        return self._process.wait()

    def stop(self) -> int:
        """Hand on the signal to stop and return the exit status. A further Ctrl+C asks the server to hurry."""
        while True:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            try:
                return self._process.wait()
            except KeyboardInterrupt:
                continue

    def _is_ok(self, path: str) -> bool:
        connection = http.client.HTTPConnection(self.place.http, timeout=_ANSWER_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let every signal that ends a program end this one as Ctrl+C does, so that it stops its server.

    SIGINT is set as well, since a shell starts its background jobs with that one ignored.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
