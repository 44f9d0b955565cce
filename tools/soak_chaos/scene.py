"""Where a chaos run plays: a server with its log on a disk of its own, its clients, its models' files, and the ledger."""

import asyncio
import http.client
import random
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.server import HOST, Server
from tools.soak_chaos.asks import Generations
from tools.soak_chaos.clients import Crowd
from tools.soak_chaos.disk import Disk
from tools.soak_chaos.ledger import Ledger
from tools.soak_chaos.models import INSTANCES, MODELS, ChangingFiles
from tools.soak_chaos.plan import Plan

_CALL_DEADLINE_S: Final = 60.0
_LOOK_S: Final = 0.02
_RUNS_AS: Final = re.compile(r"of model '(\w+)' version \d+ runs as process (\d+)")


class DiskServer(Server):
    """A server with its log in a file on a disk that may be full."""

    def __init__(self, repository: Path, *flags: str, disk: Disk, console: Path) -> None:
        super().__init__(repository, *flags, f"--log-file={disk.log}", log=console)
        self.disk: Final = disk
        self._saved: str | None = None

    def log(self) -> str:
        """As `Server` says, with what lies on the disk."""
        if self._saved is None:
            on_disk = self.disk.log.read_text(errors="replace") if self.disk.log.exists() else ""
        else:
            on_disk = self._saved
        return super().log() + on_disk

    def leave_disk(self) -> None:
        """Keep what the log holds, and let the disk go."""
        self._saved = self.disk.close()
        self.log_path.with_name(f"{self.log_path.name}.log").write_text(self._saved)

    def reopen_log(self) -> None:
        """As logrotate wants it."""
        self.signal(signal.SIGHUP)


@dataclass
class Scene:
    """All that incidents act on."""

    plan: Plan
    mode: str
    server: DiskServer
    ledger: Ledger
    files: ChangingFiles
    generations: Generations
    random: random.Random
    crowd: Crowd
    #: Processes that we killed, or stopped until the server did.
    killed: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Something is not as it has to be."""
        self.problems.append(f"{self.mode}: {text}")

    async def until(self, look: Callable[[], object], what: str, deadline_s: float) -> bool:
        """Wait until something is true; a problem where it does not come to be in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        while not look():
            if loop.time() > end_s:
                self.problem(f"not within {deadline_s:g} s: {what}")
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    def model_of(self, pid: int) -> str:
        """The model of a worker; empty where the log, which a full disk may have kept from saying so, does not tell."""
        return next((model for model, number in _RUNS_AS.findall(self.server.log()) if int(number) == pid), "")

    def is_whole(self) -> bool:
        """Every place has its process, and all models say that they are ready."""
        server = self.server
        return (
            len(server.frontends()) == self.plan.frontends
            and len(server.workers()) >= sum(INSTANCES.values())
            and all(self.get(path) == 200 for path in ("/v2/health/ready", *(f"/v2/models/{m}/ready" for m in MODELS)))
        )

    def get(self, path: str) -> int:
        """The status of a GET; 0 where nobody answers in time."""
        return self.server.get(path)[0]

    def control(self, path: str) -> tuple[int, str]:
        """Status and text of a call of the repository API; status 0 where the connection broke."""
        connection = http.client.HTTPConnection(HOST, self.server.http_port, timeout=_CALL_DEADLINE_S)
        try:
            connection.request("POST", f"/v2/repository/models/{path}", b"", {"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()
