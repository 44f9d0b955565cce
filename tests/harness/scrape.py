"""What a server's metrics service tells, read as Prometheus reads it."""

import http.client
import re
from dataclasses import dataclass, field

from tests.harness.server import HOST, Server

_SAMPLE = re.compile(r"([a-z_0-9]+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Scrape:
    """Samples by name and labels, and the type of each family."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        """The one sample that bears these labels."""
        wanted = set(labels.items())
        [found] = [value for (each, own), value in self.samples.items() if each == name and wanted <= own]
        return found


def parse(text: str) -> Scrape:
    """The samples of a text; fails where it breaks the format's rules."""
    seen = Scrape()
    family = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family, kind = line[7:].split()
            assert family not in seen.types, f"the family {family} comes twice"
            seen.types[family] = kind
        elif not line.startswith("# HELP "):
            sample = _SAMPLE.fullmatch(line)
            assert sample, f"no sample: {line}"
            assert sample[1].startswith(family), f"{sample[1]} stands below {family}"
            key = (sample[1], frozenset(_LABEL.findall(sample[2] or "")))
            assert key not in seen.samples, f"a series comes twice: {line}"
            seen.samples[key] = float(sample[3])
    return seen


def scrape(server: Server) -> Scrape:
    """What the metrics service tells now."""
    connection = http.client.HTTPConnection(HOST, server.metrics_port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return parse(text)
    finally:
        connection.close()
