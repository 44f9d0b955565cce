"""Peers that speak HTTP/2 as nobody should: nobody else notices, memory stays, and nothing of the pool stays taken."""

import contextlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.harness.faces import Call, GrpcFace
from tests.harness.fixtures import StartServer
from tests.harness.models import identity, slow
from tests.harness.observing import pool_use, wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import pss_bytes
from tests.harness.raw_http import Connection, binary_body, infer_post
from tests.harness.raw_http2 import INFER, LIVE, STREAM, RawPeer, frame, message, request_block
from tests.harness.repository import one_cpu
from tests.harness.server import GRPC_SERVER, HOST, Server
from tests.harness.waiting import eventually
from tis_frontend.http2 import frames as f

pytestmark = [
    pytest.mark.skipif(GRPC_SERVER != "native", reason="grpcio's own defences are not ours to test"),
    pytest.mark.long,
]

_STALL_S: Final = 2
_MIB: Final = 1 << 20
_INCREMENT: Final = f.WORD.pack(1)


@pytest.fixture
def own_server(new_server: StartServer, tmp_path: Path) -> Server:
    repository = tmp_path / "models"
    identity("FP32", [-1]).write(repository, "echo", extra=one_cpu())
    slow().write(repository, "slow", extra=one_cpu(), max_batch_size=1)
    return new_server(repository, "--pool-byte-size=33554432", f"--stall-timeout-secs={_STALL_S}").start()


def echo(size_bytes: int) -> bytes:
    request = pb.ModelInferRequest(model_name="echo")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[size_bytes // 4])
    request.raw_input_contents.append(bytes(size_bytes))
    data: bytes = request.SerializeToString()
    return data


def whole_call(stream: int, data: bytes) -> bytes:
    """The frames of a call with a message that takes several."""
    whole = message(data)
    frames = [frame(f.HEADERS, f.END_HEADERS, stream, request_block(INFER))]
    for at in range(0, len(whole), 16384):
        last = at + 16384 >= len(whole)
        frames.append(frame(f.DATA, f.END_STREAM if last else 0, stream, whole[at : at + 16384]))
    return b"".join(frames)


@contextlib.contextmanager
def nobody_notices(server: Server) -> Iterator[None]:
    """Another client is answered promptly the whole time, and afterwards all is as it was."""
    stop = threading.Event()
    slowest_s = 0.0
    wrong: list[object] = []
    processes = sorted(server.processes())
    with contextlib.closing(GrpcFace(server)) as face:
        call = Call("echo", {"INPUT0": np.arange(8, dtype=np.float32)})
        face.infer(call)
        before_bytes = pss_bytes(server.processes())

        def look() -> None:
            nonlocal slowest_s
            while not stop.is_set():
                began_s = time.monotonic()
                try:
                    if face.infer(call).outputs["OUTPUT0"].tolist() != list(range(8)):
                        wrong.append("another answer")
                except Exception as error:  # noqa: BLE001 - told by the test
                    wrong.append(error)
                slowest_s = max(slowest_s, time.monotonic() - began_s)
                stop.wait(0.01)

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield
        finally:
            stop.set()
            looking.join(30)
    assert not wrong
    assert slowest_s < 5.0
    wait_pool_empty(server)
    assert sorted(server.processes()) == processes
    grown = pss_bytes(server.processes()) - before_bytes
    assert grown < 48 * _MIB, f"memory has grown by {grown / _MIB:.0f} MiB"


# ---- floods ------------------------------------------------------------------------------------------------------------


FLOODS = {
    "pings": frame(f.PING, 0, 0, bytes(8)) * 100,
    "pings that answer nothing": frame(f.PING, f.ACK, 0, bytes(8)) * 100,
    "settings": f.settings({}) * 100,
    "settings of windows": f.settings({4: 1}) * 50 + f.settings({4: 1 << 20}) * 50,
    "windows of one byte": frame(f.WINDOW_UPDATE, 0, 0, _INCREMENT) * 100,
    "unknown frames": frame(0x77, 0, 0, b"x") * 100,
    "priorities": frame(f.PRIORITY, 0, 1, bytes(5)) * 100,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_is_cut_off(own_server: Server, flood: str) -> None:
    with nobody_notices(own_server), RawPeer(own_server, receive_buffer_bytes=1 << 20) as peer:
        peer.flood(FLOODS[flood], 10_000)
        assert peer.goaway()[0] is f.Error.ENHANCE_YOUR_CALM


def test_a_flood_whose_sender_does_not_read_is_cut_off(own_server: Server) -> None:
    with nobody_notices(own_server):
        peers = [RawPeer(own_server, receive_buffer_bytes=4096) for _ in range(10)]
        for peer in peers:
            peer.flood(FLOODS["pings"], 1000)
        eventually(lambda: descriptors(own_server) < 60, "connections that are over are closed")
        for peer in peers:
            peer.socket.close()


def descriptors(server: Server) -> int:
    """How many sockets the frontend has open."""
    (frontend,) = server.frontends()
    return sum(
        1
        for each in Path(f"/proc/{frontend.pid}/fd").iterdir()
        if each.is_symlink() and str(each.readlink()).startswith("socket:")
    )


def test_rapid_resets_are_cut_off(own_server: Server) -> None:
    data = b"".join(
        frame(f.HEADERS, f.END_HEADERS, number, request_block(INFER))
        + frame(f.DATA, f.END_STREAM, number, message(echo(64)))
        + frame(f.RST_STREAM, 0, number, f.WORD.pack(8))
        for number in range(1, 20_001, 2)
    )
    with nobody_notices(own_server):
        for _ in range(3):
            with RawPeer(own_server, receive_buffer_bytes=1 << 20) as peer:
                peer.flood(data, 1)
                assert peer.goaway()[0] is f.Error.ENHANCE_YOUR_CALM


# ---- peers that stop -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", f.PREFACE[:10], f.PREFACE, f.PREFACE + f.settings({})])
def test_connections_that_stop_at_the_preface_cost_next_to_nothing(own_server: Server, sent: bytes) -> None:
    with nobody_notices(own_server), contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(RawPeer(own_server, greets=False)).send(sent)


@pytest.mark.parametrize("size_bytes", [5000, 3 * _MIB])
def test_a_message_that_does_not_go_on_is_given_up(own_server: Server, size_bytes: int) -> None:
    whole = message(echo(size_bytes))
    with nobody_notices(own_server), contextlib.ExitStack() as stack:
        peers = [stack.enter_context(RawPeer(own_server)) for _ in range(2)]
        for peer in peers:
            peer.call(1, INFER, ends=False)
            peer.send(frame(f.DATA, 0, 1, whole[:3000]))
        if size_bytes > _MIB:
            eventually(lambda: any(used for used, _ in pool_use(own_server).values()), "blocks are held")
        for peer in peers:
            assert b"grpc-status\x011" in peer.trailers(1)


@pytest.mark.parametrize("path", [INFER, STREAM])
def test_a_byte_now_and_then_is_no_progress(own_server: Server, path: bytes) -> None:
    whole = message(echo(3 * _MIB))
    with nobody_notices(own_server), RawPeer(own_server) as peer:
        peer.call(1, path, ends=False)
        peer.send(frame(f.DATA, 0, 1, whole[:3000]))
        stop = threading.Event()

        def drip() -> None:
            at = 3000
            while not stop.wait(0.1):
                peer.send(frame(f.DATA, 0, 1, whole[at : at + 1]))
                at += 1

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert b"grpc-status\x011" in peer.trailers(1)
        finally:
            stop.set()
            dripping.join()


def test_a_slow_client_that_goes_on_is_waited_for(own_server: Server) -> None:
    """At 32 KiB a second it takes longer than it may stop."""
    whole = message(echo(128 << 10))
    with RawPeer(own_server) as peer:
        peer.call(1, INFER, ends=False)
        pace = threading.Event()
        for at in range(0, len(whole), 8192):
            peer.send(frame(f.DATA, 0 if at + 8192 < len(whole) else f.END_STREAM, 1, whole[at : at + 8192]))
            pace.wait(0.25)
        assert b"grpc-status\x010" in peer.trailers(1)


def test_a_stream_that_is_idle_between_messages_is_left_alone(own_server: Server) -> None:
    with RawPeer(own_server) as peer:
        peer.call(1, STREAM, echo(64), ends=False)
        threading.Event().wait(2.5 * _STALL_S)
        peer.send(frame(f.DATA, f.END_STREAM, 1, message(echo(64))))
        assert b"grpc-status\x010" in peer.trailers(1)


def test_an_http_body_that_does_not_go_on_is_given_up(own_server: Server) -> None:
    body = infer_post("echo", binary_body({"INPUT0": np.zeros(500_000, np.float32)}))
    with nobody_notices(own_server), Connection(own_server) as connection:
        connection.send(body[: len(body) // 2])
        eventually(lambda: any(used for used, _ in pool_use(own_server).values()), "a block is held")
        wait_pool_empty(own_server)


def test_an_http_response_that_is_not_taken_is_given_up(own_server: Server) -> None:
    body = infer_post("echo", binary_body({"INPUT0": np.zeros(2_000_000, np.float32)}))
    with nobody_notices(own_server), Connection(own_server, receive_buffer_bytes=4096) as connection:
        connection.send(body)
        eventually(lambda: any(used for used, _ in pool_use(own_server).values()), "a block is held")
        wait_pool_empty(own_server)


def test_responses_that_are_not_taken_are_given_up(own_server: Server) -> None:
    """600 KB each, to a peer that gives no room and one that does not read."""
    data = echo(600_000)
    with nobody_notices(own_server), contextlib.ExitStack() as stack:
        greeting = f.PREFACE + f.settings({f.INITIAL_WINDOW_SIZE: 0})
        no_room = stack.enter_context(RawPeer(own_server, greets=False))
        no_room.send(greeting)
        no_reads = stack.enter_context(RawPeer(own_server, greets=False, receive_buffer_bytes=4096))
        no_reads.send(f.PREFACE + f.settings({f.INITIAL_WINDOW_SIZE: 1 << 30}) + f.window_update(0, 1 << 30))
        before = descriptors(own_server)
        no_room.flood(b"".join(whole_call(number, data) for number in range(1, 9, 2)), 1)
        # The kernel alone takes some megabytes; then the server does not read from it either.
        no_reads.socket.settimeout(0.5)
        pace = threading.Event()
        for number in range(1, 29, 2):
            no_reads.flood(whole_call(number, data), 1)
            pace.wait(0.1)
        resets = 0
        while resets < 4:
            each = no_room.next()
            assert each is not None
            resets += each[0] == f.RST_STREAM
        eventually(lambda: descriptors(own_server) < before, "the connection of who does not read is cut off")


# ---- anything ------------------------------------------------------------------------------------------------------------


def legal(pick: random.Random, number: int) -> bytes:
    """A frame, or a few, that might well be sent; sometimes with a mistake in it."""
    kind = pick.choice(
        [f.DATA, f.HEADERS, f.PRIORITY, f.RST_STREAM, f.SETTINGS, f.PING, f.WINDOW_UPDATE, f.CONTINUATION, 9, 66]
    )
    stream = pick.choice([0, number, number, number, max(number - 2, 1), number + 2, pick.randrange(1 << 31)])
    flags = pick.choice([0, f.END_STREAM, f.END_HEADERS, f.END_HEADERS | f.END_STREAM, f.PADDED, pick.randrange(256)])
    payload = pick.choice([b"", pick.randbytes(pick.randrange(300)), bytes(4), bytes(8), message(echo(64))])
    return frame(kind, flags, stream, payload)


def session(pick: random.Random) -> bytes:
    """All that a peer sends: calls that are good, with frames between them that may not be."""
    parts = [f.PREFACE, f.settings({f.INITIAL_WINDOW_SIZE: pick.choice([0, 1, 65535, 1 << 20])})]
    for number in range(1, 2 * pick.randrange(2, 12), 2):
        path = pick.choice([INFER, STREAM, LIVE, b"/nothing"])
        parts.append(frame(f.HEADERS, f.END_HEADERS, number, request_block(path)))
        whole = message(echo(pick.choice([64, 70_000])))[: pick.choice([3, 100, 1 << 20])]
        parts += [
            frame(f.DATA, f.END_STREAM if pick.randrange(2) else 0, number, whole[at : at + 16_000])
            for at in range(0, len(whole), 16_000)
        ]
        if pick.randrange(3) == 0:
            parts.append(legal(pick, number))
    data = bytearray(b"".join(parts))
    if pick.randrange(3) == 0:
        for _ in range(pick.randrange(1, 5)):
            data[pick.randrange(len(f.PREFACE), len(data))] = pick.randrange(256)
    return bytes(data[: pick.choice([len(data), pick.randrange(len(data))])])


@pytest.mark.parametrize("seed", range(3))
def test_random_frames_harm_only_their_own_connection(own_server: Server, seed: int) -> None:
    pick = random.Random(seed)
    with nobody_notices(own_server):
        for _ in range(150):
            with RawPeer(own_server, greets=False) as peer:
                peer.flood(session(pick), 1)
                if pick.randrange(2):
                    with contextlib.suppress(OSError):
                        peer.socket.settimeout(0.02)
                        while peer.next() is not None:
                            pass
    assert own_server.log().count("Traceback") == 0


# ---- too many ------------------------------------------------------------------------------------------------------------


def test_more_connections_than_the_process_may_have_are_refused_and_it_does_not_spin(
    new_server: StartServer, tmp_path: Path
) -> None:
    identity("FP32", [-1]).write(tmp_path / "models", "echo", extra=one_cpu())
    server = new_server(tmp_path / "models")
    server.prefix = ["sh", "-c", 'ulimit -n 512; exec "$@"', "sh"]
    server.start()
    with nobody_notices(server), contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(socket.create_connection((HOST, server.grpc_port), timeout=10))
        eventually(lambda: "gRPC connections were refused" in server.log(), "it is told of")
        (frontend,) = server.frontends()
        before_s = cpu_s(frontend.pid)
        threading.Event().wait(2.0)
        assert cpu_s(frontend.pid) - before_s < 1.0
    with contextlib.closing(GrpcFace(server)) as face:
        assert face.infer(Call("echo", {"INPUT0": np.ones(1, np.float32)})).outputs["OUTPUT0"] == [1]
    assert server.log().count("refused") < 5


def cpu_s(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# ---- the end -------------------------------------------------------------------------------------------------------------


def test_a_stop_loses_no_unary_call_and_tells_the_client(own_server: Server) -> None:
    big = echo(2 * _MIB)
    with grpc.insecure_channel(own_server.grpc_address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        grpc.channel_ready_future(channel).result(20)
        call = channel.unary_unary(INFER.decode())
        slow_request = pb.ModelInferRequest(model_name="slow")
        slow_request.inputs.add(name="ROUNDS", datatype="INT64", shape=[1, 1])
        slow_request.raw_input_contents.append(np.array([[rounds(1500)]], np.int64).tobytes())
        with RawPeer(own_server) as peer:
            peer.call(1, LIVE, b"")
            peer.trailers(1)
            futures = [call.future(slow_request.SerializeToString(), timeout=60) for _ in range(3)]
            futures += [call.future(big, timeout=60) for _ in range(3)]
            eventually(lambda: any(pending for _, pending in pool_use(own_server).values()), "calls are in flight")
            own_server.signal(signal.SIGTERM)
            assert peer.goaway()[0] is f.Error.NO_ERROR
        for future in futures[:3]:
            future.result()
        for future in futures[3:]:
            # What had come when the stop began is answered whole; what had not is refused so that it is tried elsewhere.
            assert future.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
    assert own_server.wait_ended() == 0
