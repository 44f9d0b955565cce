"""What all routes of the KServe interface have in common: a category that may be restricted, and then the verb."""

import re
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tis.contracts.versions import parse_version
from tis_frontend.restriction import Expected

_CATEGORIES: Final = (
    ("health", r"/v2/health/.*|/v2/models/[^/]+(/versions/[^/]+)?/ready"),
    ("inference", r".*/(infer|generate|generate_stream)"),
    ("model-config", r"/v2/models/.*/config"),
    ("statistics", r"/v2/models/(.*/)?stats"),
    ("trace", r".*/trace/setting"),
    ("logging", r"/v2/logging"),
    ("model-repository", r"/v2/repository/.*"),
    ("shared-memory", r"/v2/(system|cuda)sharedmemory/.*"),
    ("metadata", r"/v2|/v2/models/[^/]+(/versions/[^/]+)?"),
)
#: Categories whose plain refusals are text, where Triton says application/json elsewhere.
_TEXT_CATEGORIES: Final = frozenset({"health", "inference"})


class InterfaceRoute(Route):
    """A route that checks its category's restriction, then the verb (HEAD is none that Triton knows)."""

    def __init__(self, route: Route, expected: dict[str, Expected]) -> None:
        methods = (route.methods or {"GET"}) - {"HEAD"}
        super().__init__(
            route.path,
            route.endpoint,
            methods=list(methods),
            name=route.name,
            include_in_schema=route.include_in_schema,
        )
        self.methods = methods
        self._category = category_of(route.path)
        self._expected = expected.get(self._category)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the path alone."""
        try:
            match, child = super().matches(scope)
        except ValueError:
            # Python does not read a number of more than some thousand digits.
            parse_version(scope["path"].partition("/versions/")[2].partition("/")[0])
            raise
        return (Match.FULL if match is Match.PARTIAL else match), child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or let the handler answer."""
        expected = self._expected
        if expected is not None and not expected.met_by_one_of(scope["headers"]):
            text = f"This API is restricted, expecting header '{expected.shown}'"
            await error_response(text, 403, plain=True)(scope, receive, send)
        elif self.methods is not None and scope["method"] not in self.methods:
            plain = self._category in _TEXT_CATEGORIES and "/generate" not in self.path
            await error_response("Method Not Allowed", 405, plain=plain)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class RawPath:
    """Middleware: paths are matched as they came, since Triton decodes no %-escapes in them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the path as it came."""
        if "raw_path" in scope:
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send)


def interface_routes(routes: list[BaseRoute], expected: dict[str, Expected]) -> list[BaseRoute]:
    """The same routes, each with the checks that all of them have in common."""
    return [InterfaceRoute(route, expected) if isinstance(route, Route) else route for route in routes]


def category_of(path: str) -> str:
    """The category of a route, by Triton's names."""
    for category, pattern in _CATEGORIES:
        if re.fullmatch(pattern, path):
            return category
    raise ValueError(f"the route {path} belongs to no category of the interface")


def plain_response(body: bytes = b"", status: int = 200) -> Response:
    """Text as Triton sends it, without a charset."""
    return Response(body, status, {"content-type": "text/plain"})


def error_response(text: str, status: int, *, plain: bool) -> Response:
    """The one form that errors have; some of Triton's call themselves plain text."""
    body = msgspec.json.encode({"error": text})
    return plain_response(body, status) if plain else Response(body, status, media_type="application/json")
