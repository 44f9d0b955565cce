"""Peers of a connection: a receiver that notes what it is told, and a client made of the `h2` library."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

from tis_frontend.http2.connection import Connection
from tis_frontend.http2.headers import Fields, response_block, trailer_block
from tis_frontend.http2.stream import Stream

HEAD = response_block([(b"content-type", b"application/grpc")])
TRAILERS = trailer_block([(b"grpc-status", b"0")])
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "here")]


@dataclass
class Noted:
    """What a connection has told of one stream."""

    stream: Stream
    fields: Fields
    data: bytearray = field(default_factory=bytearray)
    ended: int = 0
    aborted: int = 0
    drained: int = 0


class Notes:
    """A receiver that notes everything, and fails on what must not be told."""

    def __init__(self) -> None:
        self.streams: dict[int, Noted] = {}
        self.pings = self.pongs = 0
        #: So many bytes at a time it takes as they are, where the connection can tell it that way.
        self.room_bytes = 0
        self._room = bytearray()

    def began(self, stream: Stream, head: Fields) -> None:
        assert stream.id not in self.streams
        self.streams[stream.id] = Noted(stream, head)

    def data(self, stream: Stream, data: memoryview) -> None:
        noted = self.streams[stream.id]
        assert not noted.ended
        assert not noted.aborted
        noted.data += data

    def room(self, stream: Stream) -> memoryview | None:
        assert not self.streams[stream.id].ended
        self._room = bytearray(self.room_bytes)
        return memoryview(self._room) if self.room_bytes else None

    def filled(self, stream: Stream, size_bytes: int) -> None:
        self.data(stream, memoryview(self._room)[:size_bytes])

    def ended(self, stream: Stream) -> None:
        noted = self.streams[stream.id]
        noted.ended += 1
        assert (noted.ended, noted.aborted) == (1, 0)

    def aborted(self, stream: Stream) -> None:
        noted = self.streams[stream.id]
        noted.aborted += 1
        assert noted.aborted == 1

    def drained(self, stream: Stream) -> None:
        self.streams[stream.id].drained += 1

    def pinged(self, now_s: float) -> None:  # noqa: ARG002 - the interface
        self.pings += 1

    def ponged(self) -> None:
        self.pongs += 1


def well_formed(fields: Fields) -> Fields | None:
    """What the gRPC layer would make of header fields; here only the fields."""
    return fields if dict(fields).get(b":path") else None


@dataclass
class Response:
    """What a client has got on a stream."""

    status: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None


class Client:
    """A client of the `h2` library that is joined to a connection by function calls."""

    def __init__(self, settings: dict[h2.settings.SettingCodes, int] | None = None) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=False)
        self.h2 = h2.connection.H2Connection(config)
        self.notes = Notes()
        self.server: Connection[Fields] = Connection(self.notes, well_formed, 0.0)
        self.now_s = 0.0
        self.responses: dict[int, Response] = {}
        self.goaway: tuple[int, bytes | None] | None = None
        #: Room is given back for data as they come.
        self.acknowledges = True
        if settings is not None:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self, step_bytes: int = 0) -> None:
        """Carry bytes both ways until nothing is left; to the server `step_bytes` at a time."""
        while True:
            sent = self.h2.data_to_send()
            for at in range(0, len(sent), step_bytes or max(len(sent), 1)):
                self.server.receive(sent[at : at + (step_bytes or len(sent))], self.now_s)
            answer = b"".join(self.server.out)
            self.server.out.clear()
            if not sent and not answer:
                return
            for event in self.h2.receive_data(answer):
                self._take(event)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            assert event.stream_id is not None
            self.responses[event.stream_id] = Response(bytes(dict(event.headers or [])[b":status"]))
        elif isinstance(event, h2.events.DataReceived):
            assert event.stream_id is not None
            self.responses[event.stream_id].data += event.data or b""
            if self.acknowledges:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            assert event.stream_id is not None
            self.responses[event.stream_id].trailers = [(bytes(k), bytes(v)) for k, v in event.headers or []]
        elif isinstance(event, h2.events.StreamEnded):
            assert event.stream_id is not None
            self.responses[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            assert event.stream_id is not None
            self.responses.setdefault(event.stream_id, Response()).reset = int(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0), event.additional_data

    def request(self, data: bytes = b"", *, ends: bool = True) -> int:
        """Begin a request; gives its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, REQUEST)
        self.send(stream_id, data, ends=ends)
        return stream_id

    def send(self, stream_id: int, data: bytes, *, ends: bool) -> None:
        """Send data as far as the server gives room, again and again."""
        while data:
            self.exchange()
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data))
            assert room, "the server gives no room"
            self.h2.send_data(stream_id, data[:room])
            data = data[room:]
        if ends:
            self.h2.end_stream(stream_id)
        self.exchange()

    def respond(self, stream_id: int, data: bytes, pieces: int = 0) -> None:
        """Let the server answer, with so many pieces of about the same size instead of a whole."""
        stream, sending = self.notes.streams[stream_id].stream, self.server.sending
        if pieces:
            size = -(-len(data) // pieces) or 1
            parts = [data[at : at + size] for at in range(0, len(data), size)]
            sending.respond_in_pieces(stream, HEAD, parts, TRAILERS)
        else:
            sending.respond(stream, HEAD, data, TRAILERS)
        self.exchange()
