"""A frontend whose calls on the repository are made one by one, over HTTP and gRPC, before a supervisor that is made up."""

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from tritonclient.grpc import service_pb2 as pb

from tis.contracts import messages as m
from tis.contracts.control import ControlLink
from tis.errors import Code, TisError
from tis.settings import ServerSettings
from tis_frontend.control_calls import ControlCalls
from tis_frontend.core import Core
from tis_frontend.grpc.control import ControlService
from tis_frontend.http.app import build_app
from tis_frontend.model_table import ModelTable
from tis_frontend.server import Server

_T = TypeVar("_T")


class Link:
    """The supervisor at the other end of a control link; replies at once unless it is told to wait or to be gone."""

    peer = 7

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.sent: list[Any] = []
        self.reply: tuple[str, str] | None = ("", "")
        self.gone = False
        self.heard = asyncio.Event()
        self.calls: ControlCalls | None = None

    def send(self, message: Any) -> None:
        if self.gone:
            raise OSError("nobody is there")
        self.sent.append(message)
        self.heard.set()
        if self.reply is not None:
            self.answer(*self.reply)

    def answer(self, code: str, text: str) -> None:
        assert self.calls is not None
        self.calls.replied(m.CallReply(self.sent[-1].call_id, code, text))


class RepositoryBench:
    """A frontend whose calls are made one by one."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.repository = folder / "models"
        self.repository.mkdir()
        self.runtime_dir = folder / "runtime"
        self.runtime_dir.mkdir()
        self.link = Link(self.runtime_dir)
        calls = ControlCalls(cast(ControlLink, self.link))
        self.link.calls = calls
        made = ServerSettings(
            **{"model_control_mode": "explicit", "model_repositories": (str(self.repository),), **settings}
        )
        self.table = ModelTable()
        self.server = Server(made, cast(Core, None), self.table, calls)
        self.app = build_app(self.server)
        self.unary = ControlService(self.server).unary

    def run(self, call: Awaitable[_T]) -> _T:
        async def within() -> _T:
            return await asyncio.wait_for(call, 20)

        return self.loop.run_until_complete(within())

    def post(self, path: str, body: bytes | dict[str, Any] = b"") -> tuple[int, bytes]:
        """Status and body of an HTTP call."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"/v2/repository/{path}"
        scope = {
            "type": "http",
            "method": "POST",
            "path": target,
            "raw_path": target.encode(),
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "client": ("h", 1),
            "server": ("h", 1),
            "asgi": {"version": "3.0"},
        }
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        self.run(self.app(scope, receive, send))
        return said[0]["status"], b"".join(each.get("body", b"") for each in said[1:])

    def error(self, path: str, body: bytes | dict[str, Any] = b"") -> tuple[int, str]:
        status, answer = self.post(path, body)
        return status, json.loads(answer)["error"]

    def grpc(self, method: str, **fields: Any) -> None:
        request = getattr(pb, f"RepositoryModel{method}Request")(**fields)
        self.run(self.unary[f"RepositoryModel{method}"](request.SerializeToString()))

    def grpc_error(self, method: str, **fields: Any) -> tuple[Code, str]:
        with pytest.raises(TisError) as caught:
            self.grpc(method, **fields)
        return caught.value.code, caught.value.message

    def index(self, body: bytes = b"") -> list[dict[str, str]]:
        status, answer = self.post("index", body)
        assert status == 200
        rows: list[dict[str, str]] = json.loads(answer)
        request = pb.RepositoryIndexRequest(ready=b"true" in body)
        reply = pb.RepositoryIndexResponse.FromString(
            self.run(self.unary["RepositoryIndex"](request.SerializeToString()))
        )
        spoken = [
            {key: value for key in ("name", "version", "state", "reason") if (value := getattr(row, key))}
            for row in reply.models
        ]
        assert spoken == rows
        return rows

    @property
    def left(self) -> list[Path]:
        """What lies in the runtime directory."""
        return sorted(self.runtime_dir.iterdir())

    def close(self) -> None:
        """End the loop and its threads."""
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
