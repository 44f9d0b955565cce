"""Asks a running server over HTTP, with nothing but the standard library, and says clearly what went wrong."""

import argparse
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

DEFAULT_URL: Final = "localhost:8000"
_TIMEOUT_S: Final = 5.0
_SHOWN_LETTERS: Final = 300


class ServerError(Exception):
    """The server does not answer, or not with what was asked for."""


def with_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which server to ask."""
    parser.add_argument("--url", metavar="HOST:PORT", help=f"the server's HTTP address; {DEFAULT_URL} where not given")
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="sent with each request, as `--http-restricted-api` asks for; may be given again",
    )


@dataclass(frozen=True)
class ServerClient:
    """One server's HTTP interface."""

    scheme: str
    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str, headers: Sequence[str] = (), default_port: int = 8000) -> "ServerClient":
        """A client of `host:port` or `http(s)://host:port`; headers are `name=value`.

        Raises:
            ServerError: there is no host in it, or no value.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if not host or parts.scheme not in ("http", "https"):
            raise ServerError(f"'{url}' is no address of a server; expected HOST:PORT")
        pairs = [header.partition("=") for header in headers]
        if not all(name and equals for name, equals, _ in pairs):
            raise ServerError("a header is given as NAME=VALUE")
        return cls(parts.scheme, host, port or default_port, {name: value for name, _, value in pairs})

    @property
    def url(self) -> str:
        """The address, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.scheme == "http" else f"{self.scheme}://{host}:{self.port}"

    def index(self) -> list[dict[str, Any]]:
        """The repository index: name, version, state and reason of each model version."""
        return list(self._json("POST", "/v2/repository/index"))

    def statistics(self) -> list[dict[str, Any]]:
        """Statistics of every model version that has been loaded."""
        return list(self._json("GET", "/v2/models/stats")["model_stats"])

    def model_config(self, model: str, version: int | str = 0) -> dict[str, Any]:
        """The completed config of a model."""
        path = f"/v2/models/{quote(model, safe='')}"
        document = self._json("GET", f"{path}/versions/{version}/config" if version else f"{path}/config")
        return dict(document)

    def instances(self, model: str) -> list[dict[str, Any]]:
        """The instances of a model."""
        return list(self._json("GET", self._instances(model)))

    def change_instances(self, model: str, count: int, group: str = "") -> None:
        """Give a model, or a group of it, so many instances; done when they are there."""
        body = {"count": count, "group": group} if group else {"count": count}
        # A large model loads for minutes.
        self._ask("POST", self._instances(model), json.dumps(body).encode(), timeout_s=None)

    @staticmethod
    def _instances(model: str) -> str:
        return f"/v2/repository/models/{quote(model, safe='')}/instances"

    def text(self, path: str) -> str:
        """The body of a GET."""
        return self._ask("GET", path).decode(errors="replace")

    def _json(self, method: str, path: str) -> Any:
        body = self._ask(method, path)
        try:
            return json.loads(body)
        except ValueError:
            raise ServerError(
                f"{self.url} is no such server: {method} {path} gave {_short(body)!r} instead of JSON"
            ) from None

    def _ask(self, method: str, path: str, sent: bytes | None = None, timeout_s: float | None = _TIMEOUT_S) -> bytes:
        connection: http.client.HTTPConnection
        if self.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, sent, headers=dict(self.headers))
            response = connection.getresponse()
            status, body = response.status, response.read()
        except OSError as error:
            raise ServerError(f"no server answers at {self.url}: {error.strerror or error}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise ServerError(f"what answers at {self.url} does not speak HTTP: {error!r}") from None
        finally:
            connection.close()
        if status != 200:
            raise ServerError(f"{self.url} answered {method} {path} with {status}: {_reason(body)}")
        return body


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return _short(body)


def _short(body: bytes) -> str:
    return body.decode(errors="replace")[:_SHOWN_LETTERS]
