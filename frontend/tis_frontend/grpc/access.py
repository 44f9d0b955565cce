"""gRPC's part of the access log: handlers that note what they answer. Only there with a log. Knows no transport's types."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tis.errors import TisError
from tis_frontend.access_log import CURRENT, AccessLog, Record
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.wire import parse

Unary = Callable[[bytes, Any], Awaitable[bytes]]
Stream = Callable[[Any, Any], Awaitable[None]]
#: The name of the status that a call's context holds.
StatusName = Callable[[Any], str]


def logged_unary(log: AccessLog, name: str, call: Unary, status_name: StatusName) -> Unary:
    """The same call, which has a line in the log."""

    async def logged(data: bytes, context: Any) -> bytes:
        record = Record("gRPC", context.peer(), name)
        record.bytes_in = len(data)
        CURRENT.set(record)
        status = "OK"
        try:
            response = await call(data, context)
            record.bytes_out = len(response)
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except BaseException:
            status = status_name(context)
            if name == "ModelInfer" and not record.model:
                record.model = _model(data)
            raise
        else:
            return response
        finally:
            log.done(record, status)

    return logged


def logged_stream(log: AccessLog, name: str, call: Stream, status_name: StatusName) -> Stream:
    """The same stream: each of its requests has a line, and so has its end."""

    async def logged(requests: Any, context: Any) -> None:
        CURRENT.set(Record("gRPC", context.peer(), name, is_stream=True))
        whole = Record("gRPC", context.peer(), f"{name} end")
        status = "OK"
        try:
            await call(requests, context)
        except asyncio.CancelledError:
            status = "CANCELLED"
            raise
        except BaseException:
            status = status_name(context)
            raise
        finally:
            log.done(whole, status)

    return logged


def _model(data: bytes) -> str:
    """The model that a refused request was for, as far as that can be read."""
    try:
        name: str = parse(pb.ModelInferRequest, data).model_name
    except TisError:
        return ""
    return name
