"""What many connections have cost, and what was wrong."""

from dataclasses import dataclass, field
from typing import Final

_MIB: Final = 1 << 20


@dataclass
class Report:
    """No problems: the server has passed."""

    face: str
    connections: int
    connect_s: float = 0.0
    #: Each connection in its turn, and all of them at once.
    turns_s: float = 0.0
    at_once_s: float = 0.0
    #: The frontend's own memory: without connections, with idle ones, after they have been used, after they have gone.
    before_bytes: int = 0
    idle_bytes: int = 0
    used_bytes: int = 0
    after_bytes: int = 0
    #: Its sockets.
    before_sockets: int = 0
    idle_sockets: int = 0
    after_sockets: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def each_idle_bytes(self) -> int:
        """What a connection takes that has not been used."""
        return (self.idle_bytes - self.before_bytes) // self.connections

    @property
    def each_used_bytes(self) -> int:
        """The same after a request."""
        return (self.used_bytes - self.before_bytes) // self.connections

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.face} connections  {self.connections} in {self.connect_s:.1f} s",
            f"a request each     {self.turns_s:.1f} s in turn, {self.at_once_s:.1f} s all at once",
            f"memory             {self.before_bytes / _MIB:.0f} MiB, with all {self.idle_bytes / _MIB:.0f} MiB, "
            f"used {self.used_bytes / _MIB:.0f} MiB, afterwards {self.after_bytes / _MIB:.0f} MiB",
            f"a connection       {self.each_idle_bytes} bytes idle, {self.each_used_bytes} bytes after requests",
            f"sockets            {self.before_sockets}, with all {self.idle_sockets}, afterwards {self.after_sockets}",
            *(f"PROBLEM  {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)
