"""Clients of gRPC that stop inside of a frame, a header block or a call; `test_hostile_http2` has those that do worse."""

import contextlib
import threading
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.raw_http2 import INFER, STREAM, RawPeer, frame, request_block
from tests.harness.repository import one_cpu
from tests.harness.server import GRPC_SERVER, Server
from tis_frontend.http2 import frames as f

pytestmark = pytest.mark.skipif(GRPC_SERVER != "native", reason="grpcio's own defences are not ours to test")

_STALL_S: Final = 2
_HEADERS: Final = frame(f.HEADERS, f.END_HEADERS, 1, request_block(INFER))
#: What is begun, and what is dribbled out behind that without an end.
_BEGUN: Final = {
    "a frame's head": (_HEADERS[:5], b""),
    "a frame": (frame(f.HEADERS, f.END_HEADERS, 1, request_block(INFER) + b"\0" * 4000)[:200], b"\0"),
    "a header block": (frame(f.HEADERS, 0, 1, request_block(INFER)), b""),
}


@pytest.fixture
def own_server(new_server: StartServer, tmp_path: Path) -> Server:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    return new_server(tmp_path / "models", f"--stall-timeout-secs={_STALL_S}").start()


def test_who_stops_inside_loses_what_it_holds_and_who_is_idle_does_not(own_server: Server) -> None:
    with contextlib.ExitStack() as stack:
        inside = {what: stack.enter_context(RawPeer(own_server)) for what in _BEGUN}
        silent, unary, stream = (stack.enter_context(RawPeer(own_server)) for _ in range(3))
        for what, peer in inside.items():
            peer.send(_BEGUN[what][0])
        unary.call(1, INFER, ends=False)
        stream.call(1, STREAM, ends=False)
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(0.1):
                for what, peer in inside.items():
                    with contextlib.suppress(OSError):
                        peer.send(_BEGUN[what][1])

        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        try:
            for peer in inside.values():
                while peer.next() is not None:
                    pass
            assert b"grpc-status\x011" in unary.trailers(1)
        finally:
            stop.set()
            dribbling.join()
        # A stream between two messages, and a connection between two calls.
        stream.send(frame(f.DATA, f.END_STREAM, 1))
        assert b"grpc-status\x010" in stream.trailers(1)
        silent.call(1, STREAM)
        assert b"grpc-status\x010" in silent.trailers(1)
    with contextlib.closing(GrpcFace(own_server)) as face:
        assert face.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)})).outputs["OUTPUT0"] == [1]
