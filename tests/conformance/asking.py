"""Puts a case to a server, whichever it is, and gives the answers as plain data."""

import base64
import http.client
import json
import os
import queue
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2 as pb

from tests.conformance.case import HEADER_LENGTH, SHM_PREFIX, Case, Grpc, GrpcStream, Http, ShmRead, Step, plain

_DEADLINE_S: Final = 15.0
_SETTLE_S: Final = 3.0
_SETTLE_STEP_S: Final = 0.02
_REGION_BYTES: Final = 4096
_GZIP_OR_ZLIB: Final = 47
_SHM: Final = Path("/dev/shm")

#: Headers that clients act on.
_HEADERS: Final = ("content-type", HEADER_LENGTH.lower(), "content-encoding", "accept-encoding", "transfer-encoding")

Answer = dict[str, Any]


class Asker:
    """A client of one server over both protocols."""

    def __init__(self, host: str, http_port: int, grpc_port: int) -> None:
        self._http = http.client.HTTPConnection(host, http_port, timeout=_DEADLINE_S)
        self._channel = grpc.insecure_channel(f"{host}:{grpc_port}")
        #: Takes the place of SHM_PREFIX in names, so that two runs on a machine do not meet.
        self._prefix = f"{SHM_PREFIX}-{os.getpid()}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._channel.close()

    def ask(self, case: Case, expected: Callable[[int, Answer], bool] = lambda _index, _answer: False) -> list[Answer]:
        """The answers to a case; `expected` tells whether an answer that settles late is the one that is waited for."""
        with self._shared_memory(case.regions):
            return [self._settled(step, index, expected) for index, step in enumerate(case.steps)]

    def _settled(self, step: Step, index: int, expected: Callable[[int, Answer], bool]) -> Answer:
        end_s = time.monotonic() + _SETTLE_S
        while True:
            answer: Answer = json.loads(json.dumps(self._ask(step)).replace(self._prefix, SHM_PREFIX))
            if not step.settles or expected(index, answer) or time.monotonic() > end_s:
                return answer
            time.sleep(_SETTLE_STEP_S)

    def _ask(self, step: Step) -> Answer:
        match step:
            case Http():
                return self._ask_http(step)
            case Grpc():
                return self._ask_grpc(step)
            case GrpcStream():
                return self._ask_stream(step)
            case ShmRead():
                data = (_SHM / f"{self._prefix}-{step.region}").read_bytes()
                return {"memory": plain(data[step.offset : step.offset + step.size])}

    # ---- HTTP ------------------------------------------------------------------------------------------------------

    def _ask_http(self, step: Http) -> Answer:
        body = step.body.replace(SHM_PREFIX.encode(), self._prefix.encode())
        self._http.putrequest(step.method, step.path, skip_accept_encoding=True)
        for name, value in step.headers:
            self._http.putheader(name, value)
        if (step.method != "GET" or body) and "content-length" not in {name.lower() for name, _ in step.headers}:
            self._http.putheader("Content-Length", str(len(body)))
        try:
            self._http.endheaders(body)
            response = self._http.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            return {"connection": type(error).__name__}
        headers = {name: response.getheader(name, "") for name in _HEADERS if response.getheader(name) is not None}
        return {"status": response.status, "headers": headers, **_body(headers, data)}

    # ---- gRPC ------------------------------------------------------------------------------------------------------

    def _ask_grpc(self, step: Grpc) -> Answer:
        call = self._channel.unary_unary(f"/inference.GRPCInferenceService/{step.method}", None, None)
        request = step.raw if step.raw is not None else self._message(step.method, step.fields)
        try:
            data = call(request, timeout=_DEADLINE_S, metadata=step.metadata)
        except grpc.RpcError as error:
            return _status(error)
        return {"message": _fields(getattr(pb, f"{step.method}Response"), data)}

    def _ask_stream(self, step: GrpcStream) -> Answer:
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        call = self._channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer", None, None)
        responses = call(iter(waiting.get, None), timeout=_DEADLINE_S, metadata=step.metadata)
        messages = []
        try:
            for fields in step.requests:
                waiting.put(self._message("ModelInfer", fields))
                if not step.at_once:
                    messages.append(_fields(pb.ModelStreamInferResponse, next(responses)))
            waiting.put(None)
            messages += [_fields(pb.ModelStreamInferResponse, data) for data in responses]
        except StopIteration:
            return {"messages": messages, "ended": "early"}
        except grpc.RpcError as error:
            return {"messages": messages, **_status(error)}
        finally:
            waiting.put(None)
        return {"messages": messages, "code": "OK"}

    def _message(self, method: str, fields: Mapping[str, Any]) -> bytes:
        text = json.dumps(plain(fields)).replace(SHM_PREFIX, self._prefix)
        kind = getattr(pb, f"{method}Request", pb.ServerLiveRequest)
        data: bytes = json_format.Parse(text, kind()).SerializeToString()
        return data

    # ---- shared memory ---------------------------------------------------------------------------------------------

    @contextmanager
    def _shared_memory(self, regions: Mapping[str, bytes]) -> Iterator[None]:
        paths = [_SHM / f"{self._prefix}-{name}" for name in regions]
        try:
            for path, content in zip(paths, regions.values(), strict=True):
                path.write_bytes(content.ljust(_REGION_BYTES, b"\0"))
            yield
        finally:
            for path in paths:
                path.unlink(missing_ok=True)


def _body(headers: Mapping[str, str], data: bytes) -> Answer:
    """JSON as text, since its form is part of the answer; what is behind it as base64."""
    if headers.get("content-encoding") in ("gzip", "deflate"):
        # Two compressors need not agree on the bytes. The length of the JSON refers to what is compressed.
        data = zlib.decompress(data, _GZIP_OR_ZLIB)
    split = int(headers.get(HEADER_LENGTH.lower(), len(data)))
    try:
        answer: Answer = {"body": data[:split].decode()}
    except UnicodeDecodeError:
        return {"data": base64.b64encode(data).decode()}
    return answer | ({"data": base64.b64encode(data[split:]).decode()} if data[split:] else {})


def _fields(kind: Any, data: bytes) -> Answer:
    fields: Answer = json_format.MessageToDict(
        kind.FromString(data), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _status(error: Any) -> Answer:
    return {"code": error.code().name, "details": error.details()}
